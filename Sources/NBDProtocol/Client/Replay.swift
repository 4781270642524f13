import Glibc
import SystemPackage

/// Sends a ``WriteLog`` again, as ``LogReplay`` says; blocking.
///
/// A server that is slow is waited for, here as everywhere: the flush at the end may take it minutes.
struct Replay {
  /// Nanoseconds for which nothing may move, at first, where others wait that could go on.
  private static let patience: UInt64 = 10_000_000_000
  /// Milliseconds between two looks at whether to wait on.
  private static let look = 300

  /// Nanoseconds for which nothing may move; nil for ever. Nobody who lives is kept from working for long; where nobody does, a
  /// server is waited for as it always is.
  ///
  /// - Parameters:
  ///   - attempts: that took too long before, in a row.
  ///   - answer: for how long a server may owe one.
  static func patience(othersLive: Bool, after attempts: Int, answer: UInt64?) -> UInt64? {
    othersLive ? Admission.doubled(patience, after: attempts) : answer
  }

  /// What became of it.
  enum Result {
    /// The same connection, ready to be driven, and how many operations were sent.
    case sent(NegotiatedConnection, Int)
    /// What ended the connection, or ``NBDError/timedOut(_:)``; the log is as it was. The rest is what the server may still do.
    case failed(NBDError, UnfinishedReplay?)
  }

  /// Whose the connection is going to be.
  private let reactor: Reactor
  private let patience: UInt64?
  private let isWanted: () -> Bool
  private var watch: PeerWatch
  private var lastMove = MonotonicClock.now

  /// - Parameters:
  ///   - patience: see ``patience(othersLive:after:answer:)``.
  ///   - isWanted: asked now and then: somebody waits for it yet.
  init(for reactor: Reactor, patience: UInt64?, isWanted: @escaping () -> Bool) {
    self.reactor = reactor
    self.patience = patience
    self.isWanted = isWanted
    watch = PeerWatch(patience: reactor.timing.patience)
  }

  mutating func run(_ log: WriteLog, over connection: NegotiatedConnection) -> Result {
    guard let channel = connection.takeChannel() else {
      return .failed(.invalidArgument("a connection is driven already"), nil)
    }
    var replay = LogReplay(log, connection.export, leftover: connection.leftover)
    do throws(Loss) {
      while try !Self.step(&replay) { try move(channel, &replay.machine) }
    } catch {
      let until = MonotonicClock.now + reactor.timing.quiesce
      if error.isFenced { return .failed(error.error, nil) }
      return .failed(
        error.error, UnfinishedReplay(channel, isBroken: error.isBroken, replay.machine, reactor.gate, until: until))
    }
    return .sent(NegotiatedConnection(channel, connection.export, leftover: [], notes: connection.notes), replay.count)
  }

  /// What ended the connection. `isFenced`: the server has. `isBroken`: our own kernel has.
  private struct Loss: Error {
    var error: NBDError
    var isFenced = false
    var isBroken = false
  }

  private static func step(_ replay: inout LogReplay) throws(Loss) -> Bool {
    do { return try replay.step() } catch { throw Loss(error: error) }
  }

  /// Moves what can be moved, or waits until something can.
  private mutating func move(_ channel: borrowing Channel, _ machine: inout TransmissionMachine) throws(Loss) {
    // Bytes that are here already are nothing that could be waited for.
    let received = channel.receive(&machine).result
    if case .moved = received { return moved() }
    try check(received, channel)
    let isSending = !machine.output.isEmpty || channel.hasUnsent
    guard isReady(channel, isSending: isSending) else { return try checkPatience(channel) }
    guard isSending else { return }
    let sent = channel.send(&machine)
    if case .moved = sent { moved() }
    try check(sent, channel)
  }

  private mutating func moved() {
    lastMove = MonotonicClock.now
    // Whoever waits for the end of a mount looks at it.
    reactor.traffic.wrappingAdd(1, ordering: .relaxed)
  }

  private func isReady(_ channel: borrowing Channel, isSending: Bool) -> Bool {
    let events = Int32(isSending ? POLLIN | POLLOUT : POLLIN)
    // What makes poll fail, moving bytes shows too.
    return (try? Syscall.poll(channel.descriptor, for: events, until: .after(milliseconds: Self.look))) ?? true
  }

  /// Nothing has moved for a moment: whether to wait on.
  private mutating func checkPatience(_ channel: borrowing Channel) throws(Loss) {
    let now = MonotonicClock.now
    if let silence = watch.look(at: channel.descriptor, now: now) {
      throw Loss(error: .disconnected("the server's machine has acknowledged nothing for \(silence / 1_000_000_000) s"))
    }
    if let patience, now - lastMove >= patience {
      throw Loss(error: .timedOut("the server does not answer while the write log is sent again"))
    }
    if !isWanted() { throw Loss(error: .disconnected("the client is ending")) }
  }

  /// Whether bytes were moved or may be later; throws where they cannot be.
  private func check(_ result: Channel.Result, _ channel: borrowing Channel) throws(Loss) {
    switch result {
    case .moved, .notNow: return
    case .shortOfMemory: usleep(Channel.memoryNap)
    case .ended: throw Loss(error: .disconnected("the server closed the connection"), isFenced: channel.isClosedByPeer)
    case .broken(let error):
      throw Loss(
        error: .disconnected("the connection to the server broke: \(channel.explained(error))"), isFenced: error.isFence,
        isBroken: !error.isFence)
    }
  }
}
