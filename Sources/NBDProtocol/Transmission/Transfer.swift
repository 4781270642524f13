/// An operation that takes several commands: larger than the server allows in one, or not aligned to its blocks.
///
///     operation       |........########################.....|
///     window      |edge   |part           |part     |edge   |     multiples of the minimum block
///
/// Parts go straight between the caller's buffer and the wire, several at a time. An edge is one block that the
/// operation covers in part only: a read fetches it aside and copies what was asked for; a write fetches it, merges, and
/// writes it back. While that goes on no other mutating operation may touch the window, or its data would be
/// overwritten with what was read before: windows that overlap wait for each other, in order.
///
/// A flush is one too, with nothing in its window: one waits for another. Of two at the same time, a server may tell the error
/// to either, while the success of the other says nothing any more.
struct Transfer {
  enum Stage {
    /// A read that has to be given a buffer first.
    case needsBuffer
    /// An earlier one is in the way: see ``Transfer/conflicts(with:)``.
    case waiting
    case running
    /// All parts are written; the flush, which stands in for FUA or is the operation itself, is under way.
    case flushing
  }

  /// Commands of one transfer that may be in flight at one time.
  static let commandsInFlight = 16
  /// Zeros that are written where `NBD_CMD_WRITE_ZEROES` is missing, in bytes of one command.
  static let zeroChunk: UInt64 = 1 << 20

  var operation: Operation
  /// As it was submitted: ``operation`` has what the server offers.
  private let flags: CommandFlags
  /// The window: what the commands cover, in bytes from the start of the export.
  let lower: UInt64
  let upper: UInt64
  /// Where the next command begins.
  var cursor: UInt64
  var stage = Stage.running
  var inFlight = 0
  /// Zero while nothing failed; the first failure is the one that the caller sees.
  var error = NBDErrorCode(rawValue: 0)
  var isStalled = false
  /// Two blocks, head and tail, where the operation has edges.
  var edges: UnsafeMutableRawPointer?
  /// Parts that the server refused as too large, to be done in smaller ones.
  var refused: [Range<UInt64>] = []
  /// Edges that are merged and wait to be written back: bit 0 head, bit 1 tail.
  var mergedEdges: UInt8 = 0
  /// A flush must follow the parts: in place of FUA, or because that is the operation.
  let needsFlush: Bool
  /// It is carried out in order with others of its kind.
  let isOrdered: Bool
  /// What the log held when the flush was sent.
  var cut: UInt64 = 0

  /// - Parameter isFlushed: a flush belongs to it.
  init(_ operation: Operation, _ limits: RequestLimits, isFlushed: Bool = false) {
    self.operation = operation
    flags = operation.flags
    let end = operation.offset + operation.length
    if operation.command == .trim {
      // A hint: what is not a whole block is left alone.
      let start = limits.alignedUp(operation.offset)
      lower = start
      upper = max(start, limits.alignedDown(end))
    } else {
      lower = limits.alignedDown(operation.offset)
      upper = limits.alignedUp(end)
    }
    cursor = lower
    needsFlush =
      operation.command == .flush || isFlushed
      || (operation.flags.contains(.fua) && limits.emulatesFUA && operation.command.mutates)
    isOrdered = operation.command.isOrdered(block: limits.block)
    if limits.emulatesFUA { self.operation.flags.remove(.fua) }
  }

  var end: UInt64 { operation.offset + operation.length }
  /// As it was submitted, for another connection.
  var original: Operation {
    var original = operation
    original.flags = flags
    return original
  }
  /// Some of it may have been sent.
  var hasBegun: Bool { stage == .running || stage == .flushing }
  /// Blocks that are covered in part must be fetched. Trim leaves them alone, and cache may take them whole.
  var hasEdges: Bool {
    switch operation.command {
    case .read, .write, .writeZeroes: true
    case .trim, .cache, .blockStatus, .flush, .disconnect: false
    }
  }
  var isIssued: Bool { cursor >= upper && mergedEdges == 0 && refused.isEmpty }

  /// Whether one of the two has to wait for the other.
  func conflicts(with other: Transfer) -> Bool {
    guard isOrdered, other.isOrdered else { return false }
    if operation.command == .flush { return other.operation.command == .flush }
    return lower < other.upper && other.lower < upper
  }

  /// The part of the block at `block` that the operation covers.
  func covered(ofBlock block: UInt64, _ limits: RequestLimits) -> Range<UInt64> {
    max(block, operation.offset)..<min(block + limits.block, end)
  }
}

/// The transfers of one connection. They are the uncommon path, so that plain arrays do.
struct TransferTable {
  private var slots: [Transfer?] = []
  private var free: [Int] = []
  /// Transfers that wait for another one, oldest first.
  var waiting: [Int] = []
  /// Transfers that found no room for their next command, oldest first.
  var stalled: [Int] = []
  /// Reads that need a buffer, oldest first.
  var needing: [Int] = []
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }
  var indices: Range<Int> { slots.indices }

  subscript(index: Int) -> Transfer? {
    get { slots[index] }
    _modify { yield &slots[index] }
  }

  mutating func insert(_ transfer: Transfer) -> Int {
    count += 1
    if let index = free.popLast() {
      slots[index] = transfer
      return index
    }
    slots.append(transfer)
    return slots.count - 1
  }

  mutating func remove(_ index: Int) {
    slots[index]?.edges?.deallocate()
    slots[index] = nil
    free.append(index)
    count -= 1
  }

  /// There is a transfer that `transfer` has to wait for: running, or waiting in front of it.
  func isBlocked(_ transfer: Transfer, before position: Int?) -> Bool {
    let ahead = position.map { waiting.prefix($0) } ?? waiting[...]
    for index in slots.indices {
      guard let other = slots[index], transfer.conflicts(with: other) else { continue }
      if other.stage != .waiting || ahead.contains(index) { return true }
    }
    return false
  }

  /// Removes all and returns them.
  mutating func removeAll() -> [Transfer] {
    var removed: [Transfer] = []
    for index in slots.indices {
      guard let transfer = slots[index] else { continue }
      removed.append(transfer)
      remove(index)
    }
    waiting = []
    stalled = []
    needing = []
    return removed
  }
}
