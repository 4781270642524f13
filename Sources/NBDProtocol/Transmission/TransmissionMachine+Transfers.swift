/// Carrying out transfers: splitting, alignment, read-modify-write, and what stands in for missing features.
///
/// # An example of read-modify-write
///
/// The server's minimum block is 512 bytes. Write A has 3 bytes, `xyz`, at 1023: `x` is the last byte of one block, and `yz`
/// are the first two of the next. Both blocks are edges, and its window is 512..<1536.
///
///     offset     512                                1024                               1536
///     window      |---------------- head ----------- x|yz ------------ tail ------------|
///
/// Write B, 512 bytes at 1024, and write C, 512 bytes at 2048, come right after it:
///
/// | step | on the wire, as offset and length       | what that does                                                     |
/// |-----:|-----------------------------------------|--------------------------------------------------------------------|
/// |    1 | → `READ` 512, 512                       | A's head, to the first half of ``Transfer/edges``                  |
/// |    2 | → `READ` 1024, 512                      | A's tail, to the second half; both are under way at the same time  |
/// |    3 | nothing                                 | B waits: it overlaps A's window, and A will write back what it read |
/// |    4 | → `WRITE` 2048, 512, C's bytes          | C overlaps nobody and goes at once                                 |
/// |    5 | ← the head: bytes 512..<1024            | `x` is put at 511 of it                                            |
/// |    6 | → `WRITE` 512, 512: 511 as read, `x`    | without waiting for the tail                                       |
/// |    7 | ← the tail: bytes 1024..<1536           | `yz` is put at 0 of it                                             |
/// |    8 | → `WRITE` 1024, 512: `yz`, 510 as read  |                                                                    |
/// |    9 | ← the replies to steps 6 and 8          | A is complete, its edges are freed, and B begins                   |
/// |   10 | → `WRITE` 1024, 512, B's bytes          | whole blocks: nothing to read, straight from the caller's buffer   |
///
/// Had B been sent at step 3, step 8 could overwrite it with what the server held before. Replies may come in any order. FUA is
/// on the writes of steps 6 and 8; where the server has none, a `FLUSH` follows step 9 before A is complete. Reads wait for
/// nobody. A `READ` that fails is A's error; what was written back by then stays, as with any write that fails.
///
/// Other connections know nothing of the window: all mutating operations of such an export go to one connection
/// (``Command/isOrdered(block:)``).
///
/// Who owns the memory in all this: Docs/memory.md.
extension TransmissionMachine {
  /// Begins a transfer, or lets it wait for the one that it conflicts with.
  mutating func start(_ transfer: Transfer) {
    var transfer = transfer
    if transfer.operation.command == .read, transfer.operation.buffer == nil {
      transfer.stage = .needsBuffer
      transfers.needing.append(transfers.insert(transfer))
      return
    }
    if transfer.isOrdered, transfers.isBlocked(transfer, before: nil) {
      transfer.stage = .waiting
      transfers.waiting.append(transfers.insert(transfer))
      return
    }
    if let completion = advance(transfers.insert(transfer)) { finished.append(completion) }
  }

  /// The oldest read that cannot begin without a buffer, as ``Event/needsBuffer(command:token:length:)`` names it.
  mutating func nextBufferNeed() -> Event? {
    guard !transfers.needing.isEmpty else { return nil }
    let index = transfers.needing.removeFirst()
    guard let operation = transfers[index]?.operation else { return nil }
    return .needsBuffer(command: CommandTable.capacity + index, token: operation.token, length: operation.length)
  }

  /// Begins the read that ``nextBufferNeed()`` named.
  mutating func provide(buffer: UnsafeMutableRawPointer, forTransfer index: Int) {
    transfers[index]?.operation.buffer = buffer
    transfers[index]?.stage = .running
    if let completion = advance(index) { finished.append(completion) }
  }

  /// Issues what can be issued now, and completes the transfer when nothing is left of it.
  private mutating func advance(_ index: Int) -> Completion? {
    while let transfer = transfers[index], transfer.stage == .running, transfer.error.rawValue == 0,
      !transfer.isIssued, transfer.inFlight < Transfer.commandsInFlight
    {
      if isShutDown {
        transfers[index]?.error = .shutdown
        break
      }
      guard hasRoomForCommand else {
        stall(index)
        return nil
      }
      issueNext(index, transfer)
    }
    guard let transfer = transfers[index], transfer.inFlight == 0, !transfer.isStalled else { return nil }
    if transfer.stage == .running, transfer.needsFlush, transfer.error.rawValue == 0, !isShutDown {
      guard hasRoomForCommand else {
        stall(index)
        return nil
      }
      transfers[index]?.stage = .flushing
      if let log { transfers[index]?.cut = log.position }
      issuePart(index, .flush, [], 0, 0, nil, .finalFlush)
      return nil
    }
    transfers.remove(index)
    startWaitingTransfers()
    let isUnflushed = transfer.needsFlush && transfer.stage == .running && transfer.error.rawValue == 0
    if transfer.error == .shutdown || isUnflushed {
      unreserve(transfer.original)
      refused.append(transfer.original)
      return nil
    }
    return end(transfer)
  }

  /// A transfer has ended: the log is told.
  private func end(_ transfer: Transfer) -> Completion {
    let outcome: Outcome = transfer.error.rawValue == 0 ? .success : .failed(transfer.error)
    var completion = Completion(token: transfer.operation.token, outcome: outcome, data: nil)
    guard let log else { return completion }
    let operation = transfer.original
    if operation.command.mutates, log.admits(operation.length, operation.command) {
      if outcome.isSuccess {
        completion.replacement = log.record(operation)
      } else {
        log.unreserve(operation.length, operation.command)
      }
    }
    guard transfer.stage == .flushing else { return completion }
    let isAsked = operation.command == .flush && !operation.isForLog
    // Whoever asks next is to be told, also where the answer to that is on its way already: before anything is dropped.
    if case .failed = outcome, !isAsked { log.lose() }
    log.flushed(upTo: transfer.cut)
    // What the log has lost, a flush that succeeds does not bring back.
    if isAsked, outcome.isSuccess, log.takeLoss() { completion.outcome = .failed(.ioError) }
    return completion
  }

  private var hasRoomForCommand: Bool { commands.freeCount > 0 && output.hasRoom }

  private mutating func stall(_ index: Int) {
    guard let transfer = transfers[index], !transfer.isStalled else { return }
    transfers[index]?.isStalled = true
    transfers.stalled.append(index)
  }

  /// Goes on with the transfers that found no room. To be called when something was sent and when something completed,
  /// because either may have been what they lacked.
  mutating func resumeStalledTransfers() {
    guard !transfers.stalled.isEmpty, hasRoomForCommand else { return }
    let stalled = transfers.stalled
    transfers.stalled = []
    for index in stalled where transfers[index] != nil {
      transfers[index]?.isStalled = false
      if let completion = advance(index) { finished.append(completion) }
    }
  }

  private mutating func startWaitingTransfers() {
    var position = 0
    while position < transfers.waiting.count {
      let index = transfers.waiting[position]
      guard let transfer = transfers[index], !transfers.isBlocked(transfer, before: position) else {
        position += 1
        continue
      }
      transfers.waiting.remove(at: position)
      transfers[index]?.stage = .running
      if let completion = advance(index) { finished.append(completion) }
      // `advance` may have completed it and so changed the queue: look again from the front.
      position = 0
    }
  }

  // MARK: Commands of a transfer

  private mutating func issueNext(_ index: Int, _ transfer: Transfer) {
    let operation = transfer.operation
    if transfer.mergedEdges != 0 {
      let edge = transfer.mergedEdges & 1 != 0 ? 0 : 1
      transfers[index]?.mergedEdges &= ~(1 << UInt8(edge))
      issueEdgeWrite(index, transfer, edge)
      return
    }
    if let range = transfer.refused.last {
      let length = issueBlocks(index, transfer, range.lowerBound, range.upperBound)
      transfers[index]?.refused.removeLast()
      let rest = (range.lowerBound + length)..<range.upperBound
      if !rest.isEmpty { transfers[index]?.refused.append(rest) }
      return
    }
    let start = transfer.cursor
    let isEdge = transfer.hasEdges
      && (start < operation.offset || (start + limits.block > transfer.end && !limits.isAligned(transfer.end)))
    if isEdge {
      let edge = start < operation.offset ? 0 : 1
      issuePart(index, .read, [], start, limits.block, edgeBuffer(index, edge), .edgeRead, edge: edge)
      transfers[index]?.cursor = start + limits.block
      return
    }
    let middleEnd = limits.isAligned(transfer.end) || !transfer.hasEdges ? transfer.upper : limits.alignedDown(transfer.end)
    let length = issueBlocks(index, transfer, start, middleEnd)
    transfers[index]?.cursor = start + length
  }

  /// Issues a command for whole blocks from `start` on, as far as one command goes towards `end`. Returns how far that is.
  private mutating func issueBlocks(_ index: Int, _ transfer: Transfer, _ start: UInt64, _ end: UInt64) -> UInt64 {
    let operation = transfer.operation
    let isWrittenZeros = operation.command == .writeZeroes && limits.emulatesZeroes
    let largest =
      switch operation.command {
      case .read: limits.read
      case .write, .cache: limits.payload
      case _ where isWrittenZeros: min(limits.payload, max(Transfer.zeroChunk, limits.block))
      default: limits.effect
      }
    let length = min(end - start, largest)
    if isWrittenZeros {
      issuePart(
        index, .write, operation.flags.intersection(.fua), start, length, ZeroPage.pointer(Int(largest)), .part)
    } else {
      let buffer = operation.buffer.map { $0 + Int(start - operation.offset) }
      issuePart(index, operation.command, operation.flags, start, length, buffer, .part)
    }
    return length
  }

  private mutating func issuePart(
    _ index: Int, _ command: Command, _ flags: CommandFlags, _ offset: UInt64, _ length: UInt64,
    _ buffer: UnsafeMutableRawPointer?, _ purpose: CommandSlot.Purpose, edge: Int = 0
  ) {
    let slot = issue(command, flags, offset, length, buffer, token: Token(.reactor, 0))
    slot.pointee.purpose = purpose
    slot.pointee.edge = UInt8(edge)
    slot.pointee.transfer = index
    transfers[index]?.inFlight += 1
  }

  private mutating func edgeBuffer(_ index: Int, _ edge: Int) -> UnsafeMutableRawPointer? {
    if transfers[index]?.edges == nil {
      transfers[index]?.edges = .allocate(byteCount: Int(2 * limits.block), alignment: 64)
    }
    return transfers[index]?.edges.map { $0 + edge * Int(limits.block) }
  }

  private mutating func issueEdgeWrite(_ index: Int, _ transfer: Transfer, _ edge: Int) {
    let block = edge == 0 ? transfer.lower : limits.alignedDown(transfer.end)
    issuePart(
      index, .write, transfer.operation.flags.intersection(.fua), block, limits.block, edgeBuffer(index, edge), .edgeWrite,
      edge: edge)
  }

  /// A command of a transfer has ended.
  mutating func completePiece(_ slot: CommandSlot, _ outcome: Outcome) -> Completion? {
    let index = slot.transfer
    guard let transfer = transfers[index] else { return nil }
    transfers[index]?.inFlight -= 1
    if slot.purpose == .part, limits.lower(for: slot) {
      transfers[index]?.refused.append(slot.offset..<(slot.offset + slot.length))
    } else if case .failed(let code) = outcome {
      if transfer.error.rawValue == 0 { transfers[index]?.error = code }
    } else if slot.purpose == .edgeRead, let block = slot.buffer {
      takeEdge(index, transfer, slot, block)
    }
    return advance(index)
  }

  /// An edge block has been read: copy from it, or merge into it.
  private mutating func takeEdge(
    _ index: Int, _ transfer: Transfer, _ slot: CommandSlot, _ block: UnsafeMutableRawPointer
  ) {
    let range = transfer.covered(ofBlock: slot.offset, limits)
    let inBlock = block + Int(range.lowerBound - slot.offset)
    let count = Int(range.upperBound - range.lowerBound)
    let inBuffer = transfer.operation.buffer.map { $0 + Int(range.lowerBound - transfer.operation.offset) }
    switch transfer.operation.command {
    case .read:
      inBuffer?.copyMemory(from: inBlock, byteCount: count)
    case .write:
      if let inBuffer { inBlock.copyMemory(from: inBuffer, byteCount: count) }
      transfers[index]?.mergedEdges |= 1 << slot.edge
    default:
      inBlock.initializeMemory(as: UInt8.self, repeating: 0, count: count)
      transfers[index]?.mergedEdges |= 1 << slot.edge
    }
  }
}

/// Zeros to write, shared by all connections and never changed.
enum ZeroPage {
  /// At least `count` zero bytes; `count` is bounded by the transfers.
  static func pointer(_ count: Int) -> UnsafeMutableRawPointer {
    precondition(count <= size)
    return shared.pointer
  }

  private static let size = max(Int(Transfer.zeroChunk), Int(Limits.minimumBlockSize))
  private static let shared = Page()

  /// Safe to share: the memory is written once, before anybody can see it.
  private final class Page: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer
    init() {
      pointer = .allocate(byteCount: size, alignment: 4096)
      pointer.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    }
  }
}
