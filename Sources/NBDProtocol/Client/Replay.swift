import Glibc
import SystemPackage

/// Sends a ``WriteLog`` again, over a connection that carries nothing else yet; blocking.
///
/// In its order: what overlaps something that is under way waits for it. A flush follows, after which the log is empty. What the
/// server refuses is lost, and whoever asks for the next flush is told.
enum Replay {
  /// Milliseconds for which the server may send nothing.
  private static let silence = 10_000

  /// - Returns: the same connection, ready to be driven, and how many operations were sent.
  /// - Throws: what ended the connection, or ``NBDError/timedOut(_:)``; the log is as it was then.
  static func run(
    _ log: WriteLog, over connection: NegotiatedConnection
  ) throws(NBDError) -> (NegotiatedConnection, Int) {
    guard let channel = connection.takeChannel() else { throw .invalidArgument("a connection is driven already") }
    var driver = Driver(channel, connection)
    var count = 0
    try log.forEach { entry throws(NBDError) in
      try driver.carryOut(
        Operation(
          entry.command, flags: entry.flags, offset: entry.offset, length: entry.length, buffer: entry.payload,
          token: Token(.reactor, 0)))
      count += 1
    }
    try driver.drain()
    try driver.carryOut(Operation(.flush, token: Token(.reactor, 0)))
    try driver.drain()
    if driver.hasFailed { log.lose() }
    log.flushed(upTo: log.position)
    return (driver.finish(connection), count)
  }

  /// One connection, driven by one thread.
  private struct Driver: ~Copyable {
    private let channel: Channel
    private var machine: TransmissionMachine
    private var underWay: [UInt: Range<UInt64>] = [:]
    private var last: UInt = 0
    private(set) var hasFailed = false

    init(_ channel: consuming Channel, _ connection: NegotiatedConnection) {
      self.channel = channel
      machine = TransmissionMachine(connection.export, leftover: connection.leftover)
    }

    consuming func finish(_ connection: NegotiatedConnection) -> NegotiatedConnection {
      NegotiatedConnection(channel, connection.export, leftover: [], notes: connection.notes)
    }

    /// Sends an operation, once nothing that it overlaps is under way.
    mutating func carryOut(_ operation: Operation) throws(NBDError) {
      var operation = operation
      last += 1
      operation.token.value = last
      while underWay.values.contains(where: { $0.overlaps(operation.range) }) { try move() }
      while !machine.submit(operation) { try move() }
      underWay[last] = operation.range
      try take()
    }

    /// Waits until nothing is under way.
    mutating func drain() throws(NBDError) { while !underWay.isEmpty { try move() } }

    private mutating func move() throws(NBDError) {
      // Bytes that are here already are nothing that could be waited for.
      let received = channel.receive(&machine)
      if case .moved = received.result { return try take() }
      try check(received.result)
      let isSending = !machine.output.isEmpty || channel.hasUnsent
      let descriptor = channel.descriptor
      let isReady = try doing("sending the write log again") { () throws(Errno) in
        try Syscall.poll(
          descriptor, for: Int32(isSending ? POLLIN | POLLOUT : POLLIN), until: .after(milliseconds: Replay.silence))
      }
      guard isReady else { throw .timedOut("the server does not answer while the write log is sent again") }
      if isSending { try check(channel.send(&machine)) }
    }

    /// Whether bytes were moved or may be later; throws where they cannot be.
    private func check(_ result: Channel.Result) throws(NBDError) {
      switch result {
      case .moved, .notNow: return
      case .shortOfMemory: usleep(Channel.memoryNap)
      case .ended: throw .disconnected("the server closed the connection")
      case .broken(let error): throw .disconnected("the connection to the server broke: \(channel.explained(error))")
      }
    }

    private mutating func take() throws(NBDError) {
      while let event = try next() {
        switch event {
        case .completed(let completion):
          underWay[completion.token.value] = nil
          if !completion.outcome.isSuccess { hasFailed = true }
        case .returned: throw .disconnected("the server is shutting down")
        case .needsBuffer: break
        }
      }
    }

    private mutating func next() throws(NBDError) -> TransmissionMachine.Event? {
      do { return try machine.next() } catch { throw .violation(error) }
    }
  }
}
