/// What is sent of a ``WriteLog``, and when, over a connection that carries nothing else yet; without I/O.
///
/// Of each byte only what was answered last, so that nothing newer is overwritten with what is older: the server may have kept it
/// all, and this connection may end in the middle, while others live. A flush follows, after which the log is empty. What the
/// server refuses is lost, and whoever asks for the next flush is told. Where the connection ends before, the log is as it was.
struct LogReplay: ~Copyable {
  private enum Phase {
    case operations
    case flush
    case over
  }

  /// Operations that are under way at one time: a machine takes any number of read-modify-writes, and looks at each for the next.
  private static let most = 64

  /// Whoever has the connection moves its bytes.
  var machine: TransmissionMachine
  private let log: WriteLog
  private let operations: [Operation]
  private var phase = Phase.operations
  /// How many operations of the log were sent.
  private(set) var count = 0
  /// How many were submitted and are not complete.
  private var left = 0
  /// The server has refused something.
  private(set) var hasFailed = false

  /// - Parameter leftover: bytes that came with the end of the negotiation.
  init(_ log: WriteLog, _ export: Export, leftover: [UInt8]) {
    machine = TransmissionMachine(export, leftover: leftover)
    self.log = log
    operations = Self.newest(of: log)
  }

  /// Goes on as far as that is possible without another byte from the server: at first, and when bytes have moved. True when
  /// all is sent and durable.
  ///
  /// - Throws: what makes the connection unusable.
  mutating func step() throws(NBDError) -> Bool {
    try take()
    while phase == .operations, count < operations.count {
      guard try submit(operations[count]) else { return false }
      count += 1
    }
    if phase == .operations, left == 0, try submit(Operation(.flush, token: Token(.reactor, 0))) { phase = .flush }
    if phase == .flush, left == 0 { end() }
    return phase == .over
  }

  /// What the log holds, in pieces that do not overlap.
  private static func newest(of log: WriteLog) -> [Operation] {
    var entries: [WriteLog.Entry] = []
    log.forEach { entries.append($0) }
    var covered: [Range<UInt64>] = []
    var operations: [Operation] = []
    for operation in entries.reversed().map(\.operation) {
      covered.unite(operation.range) { piece in
        var part = operation
        part.offset = piece.lowerBound
        part.length = piece.upperBound - piece.lowerBound
        part.buffer = operation.buffer.map { $0 + Int(piece.lowerBound - operation.offset) }
        operations.append(part)
      }
    }
    // Nothing depends on the order; this one is that of the answers.
    return operations.reversed()
  }

  /// Submits an operation, unless there is no room.
  private mutating func submit(_ operation: Operation) throws(NBDError) -> Bool {
    guard left < Self.most, machine.submit(operation) else { return false }
    left += 1
    try take()
    return true
  }

  private mutating func end() {
    if hasFailed { log.lose() }
    log.flushed(upTo: log.position)
    phase = .over
  }

  private mutating func take() throws(NBDError) {
    while let event = try next() {
      switch event {
      case .completed(let completion):
        left -= 1
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

extension WriteLog.Entry {
  /// What is to be sent again.
  var operation: Operation {
    Operation(command, flags: flags, offset: offset, length: length, buffer: payload, token: Token(.reactor, 0))
  }
}
