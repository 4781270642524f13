import Glibc
import SystemPackage

/// Sends a ``WriteLog`` again, as ``LogReplay`` says; blocking.
enum Replay {
  /// Milliseconds for which the server may send nothing.
  private static let silence = 10_000

  /// What became of it.
  enum Result {
    /// The same connection, ready to be driven, and how many operations were sent.
    case sent(NegotiatedConnection, Int)
    /// What ended the connection, or ``NBDError/timedOut(_:)``; the log is as it was. The rest is what the server may still do.
    case failed(NBDError, UnfinishedReplay?)
  }

  /// - Parameters:
  ///   - gate: of the export.
  ///   - quiesce: nanoseconds for which a server that was given up may still act.
  static func run(_ log: WriteLog, over connection: NegotiatedConnection, _ gate: RangeGate, quiesce: UInt64) -> Result {
    guard let channel = connection.takeChannel() else {
      return .failed(.invalidArgument("a connection is driven already"), nil)
    }
    var replay = LogReplay(log, connection.export, leftover: connection.leftover)
    do throws(Loss) {
      while try !step(&replay) { try move(channel, &replay.machine) }
    } catch {
      let until = MonotonicClock.now + quiesce
      if error.isFenced { return .failed(error.error, nil) }
      return .failed(
        error.error, UnfinishedReplay(channel, isBroken: error.isBroken, replay.machine, gate, until: until))
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
  private static func move(_ channel: borrowing Channel, _ machine: inout TransmissionMachine) throws(Loss) {
    // Bytes that are here already are nothing that could be waited for.
    let received = channel.receive(&machine).result
    if case .moved = received { return }
    try check(received, channel)
    let isSending = !machine.output.isEmpty || channel.hasUnsent
    guard isReady(channel, isSending: isSending) else {
      throw Loss(error: .timedOut("the server does not answer while the write log is sent again"))
    }
    if isSending { try check(channel.send(&machine), channel) }
  }

  private static func isReady(_ channel: borrowing Channel, isSending: Bool) -> Bool {
    let events = Int32(isSending ? POLLIN | POLLOUT : POLLIN)
    // What makes poll fail, moving bytes shows too.
    return (try? Syscall.poll(channel.descriptor, for: events, until: .after(milliseconds: silence))) ?? true
  }

  /// Whether bytes were moved or may be later; throws where they cannot be.
  private static func check(_ result: Channel.Result, _ channel: borrowing Channel) throws(Loss) {
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
