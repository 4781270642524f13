import Glibc
import SystemPackage

/// One connection, as a reactor drives it: a channel, the machine that speaks over it, and how far it is.
///
/// A connection that the *server* has closed is fenced: nothing that was sent over it happens any more. One that we give up, because
/// of what the server says or because it says nothing, is not: its server may carry out later what it has received. What that is
/// stays held in the gate, and the connection is read on, until the server has closed it too, or must be taken to have
/// forgotten it.
package struct Connection: ~Copyable {
  enum State {
    case open
    /// The server goes away (`NBD_ESHUTDOWN`), or we do: what is in flight is finished, nothing is begun.
    case leaving
    /// It was given up, and what the server does about it is not known yet. `until`: in nanoseconds of the reactor's clock.
    case settling(until: UInt64)
    case closed
  }

  /// What an attempt to move bytes came to.
  enum Progress {
    case none
    case some
    /// The connection is of no use any more. `isFenced`: the server has ended it.
    case lost(NBDError, isFenced: Bool)
  }

  private let channel: Channel
  private let epoll: Epoll
  private let gate: RangeGate
  private let clock: TimeSource
  package var machine: TransmissionMachine
  private(set) var state = State.open
  /// The kernel has given the connection up, for an error that is not the server's hanging up.
  private var isBroken = false
  /// Holds what a server that was given up, or goes away, may still write. Released when the connection is fenced.
  private(set) var doubt: RangeGate.Hold?
  /// `epoll` said so, and no system call has said otherwise.
  var isReadable = true
  private var watchesWritable = false
  /// Nil where the kernel itself says that the peer is gone: on all sockets but TCP's.
  private var peerWatch: PeerWatch?
  /// What it is to `epoll`.
  private var name = Epoll.Ready.socket
  /// How often bytes have come, and since when that number is the same, while replies are owed.
  private var receipts: UInt64 = 0
  private var lastLook: (receipts: UInt64, time: UInt64)?

  /// - Parameters:
  ///   - leftover: bytes that came with the end of the negotiation.
  ///   - patience: milliseconds, see ``PeerWatch``.
  init(
    _ channel: consuming Channel, _ export: Export, leftover: [UInt8], patience: Int, log: WriteLog?, _ gate: RangeGate,
    _ epoll: Epoll, _ clock: TimeSource
  ) {
    self.channel = channel
    self.gate = gate
    self.epoll = epoll
    self.clock = clock
    machine = TransmissionMachine(export, leftover: leftover, log: log)
    if (try? Syscall.tcpInformation(self.channel.descriptor)) != nil { peerWatch = PeerWatch(patience: patience) }
  }

  /// Has `epoll` report what comes.
  func watch() throws(NBDError) { try epoll.add(channel.descriptor, as: name, .readable) }

  // MARK: State

  /// Operations may be begun.
  @inline(__always)
  var isOpen: Bool { if case .open = state { true } else { false } }

  @inline(__always)
  var isLeaving: Bool { if case .leaving = state { true } else { false } }

  /// What was begun may still be finished.
  @inline(__always)
  var isConnected: Bool { isOpen || isLeaving }

  var isSettling: Bool { if case .settling = state { true } else { false } }

  /// The server has said that it goes away.
  mutating func serverLeaves() {
    state = .leaving
    // What is still running here must not meet what others begin over the same bytes.
    doubt = gate.hold(machine.mutationsInFlight)
  }

  /// Puts the soft disconnect on the wire, after which nothing may be begun.
  mutating func disconnect() {
    if isOpen { state = .leaving }
    machine.disconnect()
  }

  /// Nothing more is sent.
  func endOutput() { channel.endOutput() }

  /// The connection is of no use any more; ``hangUp()`` has to follow. What the server may still do stays held: taken before
  /// anybody learns of the loss, who could write the same bytes next.
  ///
  /// - Parameters:
  ///   - isFenced: the server has ended it.
  ///   - quiesce: nanoseconds for which a server that has not may still act.
  mutating func giveUp(isFenced: Bool, quiesce: UInt64) {
    let inDoubt = isFenced ? [] : machine.mutationsInFlight
    let hold = inDoubt.isEmpty ? nil : gate.hold(inDoubt)
    if let doubt { gate.release(doubt) }
    doubt = hold
    state = hold == nil ? .closed : .settling(until: clock.now + quiesce)
  }

  /// Tells the server, once everybody here knows.
  mutating func hangUp() {
    guard isSettling else { return close() }
    if isBroken { return leaveToTheClock() }
    channel.endOutput()
    // No more wakeups because there is room to send; where that fails, there are some.
    try? epoll.modify(channel.descriptor, as: name, .readable)
    isReadable = true
  }

  /// Another connection takes its place while it settles.
  mutating func retire() {
    name = .retired
    if isBroken { return }
    try? epoll.modify(channel.descriptor, as: name, .readable)
    isReadable = true
  }

  /// Closes it though it has not settled. Returns what the server may still write, and until when it must be taken to.
  mutating func abandon() -> (hold: RangeGate.Hold, until: UInt64)? {
    guard case .settling(let until) = state, let doubt else { return nil }
    self.doubt = nil
    close()
    return (doubt, until)
  }

  private mutating func close() {
    state = .closed
    epoll.remove(channel.descriptor)
    channel.end()
  }

  // MARK: Moving bytes

  /// There is something to be sent.
  @inline(__always)
  var hasOutput: Bool { !machine.output.isEmpty || channel.hasUnsent }

  /// Sends what the machine has to say, with one system call.
  mutating func send() -> Progress {
    switch channel.send(&machine) {
    case .moved: return watchWritable() ?? .some
    case .notNow: return watchWritable() ?? .none
    case .shortOfMemory:
      usleep(Channel.memoryNap)
      return watchWritable() ?? .none
    case .ended: return .none
    case .broken(let error): return broken(error)
    }
  }

  private mutating func broken(_ error: Errno) -> Progress {
    // After an error of our own kernel, what it says of the peer is its own as well.
    isBroken = isBroken || !error.isFence
    return .lost(.disconnected("the connection to the server broke: \(channel.explained(error))"), isFenced: !isBroken)
  }

  /// Has `epoll` say when there is room to send, while there is something to be sent.
  private mutating func watchWritable() -> Progress? {
    let isWanted = hasOutput
    guard isWanted != watchesWritable else { return nil }
    watchesWritable = isWanted
    do {
      try epoll.modify(channel.descriptor, as: name, isWanted ? [.readable, .writable] : .readable)
      return nil
    } catch { return .lost(error, isFenced: false) }
  }

  /// Takes what has come, with one system call; the machine then has events.
  mutating func receive() -> Progress {
    let (result, isDrained) = channel.receive(&machine)
    switch result {
    case .moved:
      if isDrained { isReadable = false }
      receipts += 1
      return .some
    case .notNow:
      isReadable = false
      return .none
    case .shortOfMemory:
      usleep(Channel.memoryNap)
      return .none
    case .ended:
      return .lost(.disconnected("the server closed the connection"), isFenced: !isBroken && channel.isClosedByPeer)
    case .broken(let error): return broken(error)
    }
  }

  // MARK: A peer that is gone, or was given up

  /// Milliseconds after which ``silence(now:)`` should be asked, at most; -1 never.
  var timeToLook: Int32 { if let peerWatch, isConnected, machine.load > 0 { peerWatch.sleep } else { -1 } }

  /// Nanoseconds for which the server's machine has acknowledged nothing, where it must be taken for gone.
  mutating func silence(now: UInt64) -> UInt64? {
    guard isConnected, machine.load > 0 else { return nil }
    return peerWatch?.look(at: channel.descriptor, now: now)
  }

  /// The server has sent something since the negotiation.
  var hasReceived: Bool { receipts > 0 }

  /// Nanoseconds for which nothing has come although replies are owed, as far as earlier calls show; to be called now and then.
  mutating func unanswered(now: UInt64) -> UInt64 {
    guard isConnected, machine.load > 0 else {
      lastLook = nil
      return 0
    }
    if let lastLook, lastLook.receipts == receipts { return now - lastLook.time }
    lastLook = (receipts, now)
    return 0
  }

  /// Reads on after the connection was given up, and looks at the clock. Returns whether there was anything to do.
  mutating func settle() -> Bool {
    guard case .settling(let until) = state else { return false }
    if clock.now >= until {
      settled()
      return true
    }
    guard isReadable else { return false }
    switch channel.drain() {
    case .moved: return true
    case .ended: settled()
    case .broken(let error) where error.isFence: settled()
    case .notNow, .shortOfMemory:
      isReadable = false
      return false
    case .broken:
      isBroken = true
      leaveToTheClock()
      return false
    }
    return true
  }

  /// Nothing more can be learned from a connection that the kernel has given up: an end that it shows now is not the server's.
  private mutating func leaveToTheClock() {
    isReadable = false
    epoll.remove(channel.descriptor)
  }

  private mutating func settled() {
    close()
    if let doubt { gate.release(doubt) }
    doubt = nil
  }
}
