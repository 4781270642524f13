/// The transmission phase of one connection, without I/O and without a clock.
///
/// Theory of operation
///
///     submit(Operation) ──> commands ──> output (SendQueue) ──> the socket
///                              │ handle
///     next() <── completions <─┴─ replies <── input (ReceiveBuffer) <── the socket
///
/// Whoever owns the socket sends what ``output`` holds, receives where ``receiveVectors(_:)`` says, and then
/// calls ``next()`` until it returns nil. An operation that fits the server's limits is one command, found again by
/// its handle; any other is a *transfer* of several (TransmissionMachine+Transfers). Nothing here waits, allocates on the
/// common path, or knows who waits for a completion: a ``Token`` comes back as it was given.
///
/// Everything in a reply is checked before it has an effect. What breaks the protocol throws a
/// ``ProtocolViolation``; the connection is then of no use and its owner closes it.
package struct TransmissionMachine: ~Copyable {
  /// What ``next()`` reports.
  package enum Event {
    case completed(Completion)
    /// The server goes away (`NBD_ESHUTDOWN`) and has not carried it out: it may be submitted to another connection.
    case returned(Operation)
    /// A read that was submitted without a buffer cannot be answered from the receive buffer. Call
    /// ``provide(buffer:for:)`` before ``next()``. `command` is a number for that call only.
    case needsBuffer(command: Int, token: Token, length: UInt64)
  }

  /// What the next bytes from the server are.
  enum Receiving {
    case header
    /// Data of a read. `destination` is nil where the bytes are dropped.
    case data(command: Int, destination: UnsafeMutableRawPointer?, left: Int, isLast: Bool)
    /// Extents of a block status reply.
    case extents(command: Int, context: Int, left: Int, isLast: Bool)
  }

  package let export: Export
  /// Where what was answered is recorded, until it is durable.
  let log: WriteLog?
  package var output = SendQueue()
  var input = ReceiveBuffer()
  var commands = CommandTable()
  var receiving = Receiving.header
  /// How many bytes ``input`` has to hold for the parser to go on from where it last stopped.
  var needed: Int

  // The parts of the export that every operation asks for.
  let replies: ReplyForm
  let isExtended: Bool
  var limits: RequestLimits
  /// Bytes of the header in front of a read's data: the most that has to be there before it is known what comes.
  let dataHeaderSize: Int

  /// Completions that did not come from the reply that is being parsed.
  var finished: [Completion] = []
  var finishedTaken = 0
  /// What the server says about a command that has failed and has not ended, and which.
  var errorText: (command: Int, text: String)?
  /// See ``takeErrorReply()``.
  var errorReply: ErrorReply?
  /// Operations that the server has refused because it goes away, oldest first.
  var refused: [Operation] = []
  /// Commands that were answered before their payload had left.
  var unsentReplied: [Int] = []
  /// Out-of-order reads, by command.
  var coverage: [Int: ReadCoverage] = [:]
  /// Block status replies that are being received, by command.
  var statusReplies: [Int: StatusReply] = [:]
  /// How many extents are in ``statusReplies``.
  var extentsHeld = 0
  /// Extents of finished block status operations, until they are taken.
  var extentResults: [Token: [[Extent]]] = [:]
  /// Reads in flight that are received in place.
  var largeReads = 0
  /// Operations of several commands.
  var transfers = TransferTable()

  package init(_ export: Export, leftover: [UInt8] = [], log: WriteLog? = nil) {
    self.export = export
    self.log = log
    replies = export.replies
    isExtended = export.replies == .extended
    limits = RequestLimits(export)
    dataHeaderSize = ReplyHeader.sizeBeforeData(export.replies)
    needed = dataHeaderSize
    finished.reserveCapacity(64)
    // What a server said right after the end of the negotiation. Fits: the handshake's buffer is smaller.
    leftover.withUnsafeBytes { bytes in
      let count = min(bytes.count, ReceiveBuffer.capacity)
      if count > 0 {
        input.space().copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
        input.received(count)
      }
    }
  }

  // MARK: Submitting

  /// Operations that are not complete: commands in flight and transfers between commands.
  package var isIdle: Bool {
    commands.count == 0 && transfers.isEmpty && finishedTaken == finished.count && refused.isEmpty
  }

  /// ``next()`` has something to report without another byte from the server.
  package var hasEvents: Bool { finishedTaken < finished.count || !transfers.needing.isEmpty || !refused.isEmpty }

  /// Commands in flight: the measure of a connection's load.
  package var load: Int { commands.count }

  /// Bytes of data that reads and writes in flight are to move.
  package internal(set) var payload = 0

  /// The server has answered a command with `NBD_ESHUTDOWN`. From then on nothing is put on the wire but the disconnect: what
  /// is in flight is finished, and everything else comes back as ``Event/returned(_:)`` (*Error values*).
  package internal(set) var isShutDown = false

  /// Takes `operation`, which ``Export/check(_:)`` has passed. False where there is no room for it now: try again after
  /// something was sent or completed.
  package mutating func submit(_ operation: Operation) -> Bool {
    guard !isShutDown else {
      refused.append(operation)
      return true
    }
    let (offset, length) = limits.wireRange(of: operation)
    if length == 0 || operation.length == 0, operation.command != .flush {
      // A zero length is "unspecified" on the wire and never sent.
      let isStatus = operation.command == .blockStatus
      if isStatus { extentResults[operation.token] = export.contexts.map { _ in [] } }
      finished.append(Completion(token: operation.token, outcome: .success, data: nil, hasExtents: isStatus))
      return true
    }
    let isFlushed = log.map { operation.command.mutates && !$0.admits(operation.length, operation.command) } ?? false
    guard !isFlushed, limits.fitsOneCommand(operation) else {
      guard isFlushed || reserve(operation) else { return false }
      start(Transfer(operation, limits, isFlushed: isFlushed))
      return true
    }
    guard commands.freeCount > 0, output.hasRoom, reserve(operation) else { return false }
    issue(operation.command, operation.flags, offset, length, operation.buffer, token: operation.token)
    return true
  }

  /// Takes room in the log. False where there is none now.
  @inline(__always)
  private func reserve(_ operation: Operation) -> Bool {
    guard let log, operation.command.mutates else { return true }
    return log.reserve(operation.length, operation.command)
  }

  /// Gives back what ``reserve(_:)`` has taken.
  func unreserve(_ operation: Operation) {
    guard let log, operation.command.mutates, log.admits(operation.length, operation.command) else { return }
    log.unreserve(operation.length, operation.command)
  }

  /// Puts one command on the wire. Requires a free slot and room in the output.
  @discardableResult
  @inline(__always)
  mutating func issue(
    _ command: Command, _ flags: CommandFlags, _ offset: UInt64, _ length: UInt64,
    _ buffer: UnsafeMutableRawPointer?, token: Token
  ) -> UnsafeMutablePointer<CommandSlot> {
    let index = commands.take()
    let slot = commands[index]
    slot.pointee.start(command, flags, offset, length, buffer, token)
    if slot.pointee.isLargeRead { largeReads += 1 }
    if slot.pointee.movesData { payload += Int(length) }
    // An invariant of RequestLimits: the compact form has no more room.
    precondition(isExtended || length <= UInt64(UInt32.max))
    var header = RequestHeader(
      flags: flags, command: command, handle: commands.handle(of: index), offset: offset, length: length)
    guard command == .write, let payload = buffer else {
      output.append(header, extended: isExtended)
      slot.pointee.headerEnd = output.queued
      if command == .blockStatus {
        statusReplies[index] = StatusReply(contexts: export.contexts.count, offset: offset)
      }
      return slot
    }
    if isExtended { header.flags.insert(.payloadLength) }
    output.append(header, extended: isExtended)
    slot.pointee.headerEnd = output.queued
    output.append(referring: payload, count: Int(length))
    slot.pointee.payloadEnd = output.queued
    return slot
  }

  /// Puts the soft disconnect on the wire (`NBD_CMD_DISC`), where ``output`` has room for it. It has no reply; nothing may be
  /// submitted after it. What is in flight may still be answered.
  package mutating func disconnect() {
    guard output.hasRoom else { return }
    output.append(.softDisconnect, extended: isExtended)
  }

  // MARK: Sending and receiving

  /// The socket took `count` bytes of ``output``.
  package mutating func sent(_ count: Int) {
    output.advance(by: count)
    var kept = 0
    for position in unsentReplied.indices {
      let index = unsentReplied[position]
      if commands[index].pointee.payloadEnd <= output.sent {
        if let completion = complete(index, data: nil) { finished.append(completion) }
      } else {
        unsentReplied[kept] = index
        kept += 1
      }
    }
    unsentReplied.removeLast(unsentReplied.count - kept)
    resumeStalledTransfers()
  }

  /// Where the next received bytes go: up to two places, to be filled in order. Returns how many are used.
  @inline(__always)
  package mutating func receiveVectors(_ vectors: UnsafeMutablePointer<IOVector>) -> Int {
    let space = input.space()
    // Where most of what comes is large, no more than what the parser waits for is taken into the buffer: what comes after a
    // header would have to be copied from there to where it belongs. All that it waits for, or a small reply, dropped data
    // or a list of extents would come a few bytes at a time.
    let room = largeReads * 2 > commands.count ? min(max(needed - input.count, 1), space.count) : space.count
    let rest = IOVector(iov_base: space.baseAddress, iov_len: room)
    if case .data(_, let destination?, let left, _) = receiving, input.count == 0, left > 0 {
      vectors[0] = IOVector(iov_base: destination, iov_len: left)
      vectors[1] = rest
      return 2
    }
    vectors[0] = rest
    return 1
  }

  /// `count` bytes came, into the places that ``receiveVectors(_:)`` named.
  @inline(__always)
  package mutating func received(_ count: Int) {
    if case .data(let command, let destination?, let left, let isLast) = receiving, input.count == 0, left > 0 {
      let direct = min(count, left)
      receiving = .data(command: command, destination: destination + direct, left: left - direct, isLast: isLast)
      input.received(count - direct)
    } else {
      input.received(count)
    }
  }

  /// Gives the read that ``Event/needsBuffer(command:token:length:)`` named a place for its data.
  package mutating func provide(buffer: UnsafeMutableRawPointer, for command: Int) {
    if command < CommandTable.capacity {
      commands[command].pointee.buffer = buffer
    } else {
      provide(buffer: buffer, forTransfer: command - CommandTable.capacity)
    }
  }

  /// The extents of a completed block status operation, one array for each of ``Export/contexts``.
  package mutating func takeExtents(_ token: Token) -> [[Extent]] {
    extentResults.removeValue(forKey: token) ?? []
  }

  // MARK: Completing

  /// The final reply for the command has come. Nil where that completes no operation yet.
  @inline(__always)
  mutating func replied(_ index: Int, data: UnsafeMutableRawPointer?) -> Completion? {
    let slot = commands[index]
    if slot.pointee.payloadEnd > output.sent {
      // The server answered early, usually with an error. The rest of the payload must still go out, or the
      // stream is out of step, so that the buffer is not the caller's yet.
      slot.pointee.isReplied = true
      unsentReplied.append(index)
      return nil
    }
    return complete(index, data: data)
  }

  @inline(__always)
  mutating func complete(_ index: Int, data: UnsafeMutableRawPointer?) -> Completion? {
    let slot = commands[index].pointee
    if slot.isLargeRead { largeReads -= 1 }
    if slot.movesData { payload -= Int(slot.length) }
    commands.release(index)
    if slot.purpose == .whole, slot.error.rawValue == 0, slot.command != .blockStatus {
      let replacement = slot.command.mutates ? log?.record(slot.operation) : nil
      return Completion(token: slot.token, outcome: .success, data: data, replacement: replacement)
    }
    return completeRarely(index, slot)
  }

  private mutating func completeRarely(_ index: Int, _ slot: CommandSlot) -> Completion? {
    let outcome: Outcome = slot.error.rawValue == 0 ? .success : .failed(slot.error)
    noteError(index, slot)
    let status = slot.command == .blockStatus ? statusReplies.removeValue(forKey: index) : nil
    if let status { extentsHeld -= status.count }
    if slot.purpose != .whole { return completePiece(slot, outcome) }
    if slot.error == .shutdown {
      unreserve(slot.operation)
      refused.append(slot.operation)
      return nil
    }
    if limits.lower(for: slot) {
      start(Transfer(slot.operation, limits))
      return nil
    }
    if !outcome.isSuccess { unreserve(slot.operation) }
    if outcome.isSuccess, let status { extentResults[slot.token] = status.extents.map { $0 ?? [] } }
    return Completion(token: slot.token, outcome: outcome, data: nil, hasExtents: outcome.isSuccess && status != nil)
  }
}
