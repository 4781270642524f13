/// The commands in flight on one connection, found by their handles.
///
/// A handle is the index of a slot and the slot's generation, which rises each time the slot is used again. A
/// reply is matched with an index and a comparison: no hashing, no allocation, and a handle that was answered
/// once is never taken for a new command's.
struct CommandTable: ~Copyable {
  /// Most commands in flight on one connection.
  static let capacity = 1024

  private let slots: UnsafeMutablePointer<CommandSlot>
  /// The indexes that are free, as a stack: the slot used last is the one that the cache holds.
  private let free: UnsafeMutablePointer<UInt32>
  private(set) var freeCount: Int

  init() {
    slots = .allocate(capacity: Self.capacity)
    free = .allocate(capacity: Self.capacity)
    for index in 0..<Self.capacity {
      (slots + index).initialize(to: CommandSlot())
      (free + index).initialize(to: UInt32(Self.capacity - 1 - index))
    }
    freeCount = Self.capacity
  }

  deinit {
    slots.deallocate()
    free.deallocate()
  }

  @inline(__always)
  var count: Int { Self.capacity - freeCount }

  /// Takes a free slot. Requires `freeCount > 0`.
  @inline(__always)
  mutating func take() -> Int {
    freeCount -= 1
    let index = Int(free[freeCount])
    slots[index].isActive = true
    return index
  }

  /// Gives a slot back; its handle is dead from here on.
  @inline(__always)
  mutating func release(_ index: Int) {
    slots[index].isActive = false
    slots[index].generation &+= 1
    free[freeCount] = UInt32(truncatingIfNeeded: index)
    freeCount += 1
  }

  @inline(__always)
  func handle(of index: Int) -> UInt64 {
    UInt64(slots[index].generation) << 32 | UInt64(truncatingIfNeeded: index)
  }

  /// The slot of a handle that came from the wire, or nil where no command with that handle is in flight.
  @inline(__always)
  func index(of handle: UInt64) -> Int? {
    let index = Int(handle & 0xffff_ffff)
    guard index < Self.capacity, slots[index].isActive, !slots[index].isReplied,
      slots[index].generation == UInt32(truncatingIfNeeded: handle >> 32)
    else { return nil }
    return index
  }

  /// The slots, for a look at several.
  var base: UnsafePointer<CommandSlot> { UnsafePointer(slots) }

  /// The slot at an index that came from ``take()`` or ``index(of:)``.
  @inline(__always)
  subscript(index: Int) -> UnsafeMutablePointer<CommandSlot> { slots + index }
}

/// One command in flight.
struct CommandSlot {
  /// What a completed command means to the operation that it is a part of.
  enum Purpose: UInt8 {
    /// It is the whole operation.
    case whole
    /// An aligned part of a transfer, straight between the caller's buffer and the wire.
    case part
    /// The edge block of an unaligned transfer, read.
    case edgeRead
    /// The edge block of an unaligned write, written back.
    case edgeWrite
    /// The flush that stands in for FUA.
    case finalFlush
  }

  var generation: UInt32 = 0
  var isActive = false
  /// The final reply has come, but its payload has not left completely.
  var isReplied = false
  var command = Command.read
  var flags: CommandFlags = []
  var purpose = Purpose.whole
  /// Which edge, for the edge purposes: 0 head, 1 tail.
  var edge: UInt8 = 0
  /// The operation's transfer, where `purpose` is not `.whole`.
  var transfer = 0
  var token = Token(.reactor, 0)
  var offset: UInt64 = 0
  var length: UInt64 = 0
  /// Where the byte at `offset` goes, or lies.
  var buffer: UnsafeMutableRawPointer?
  /// The position in the send queue where the header ends: what was not sent has no reply.
  var headerEnd: UInt64 = 0
  /// The position in the send queue that has to be passed before the payload may go.
  var payloadEnd: UInt64 = 0
  /// Bytes of a read that came in order, from `offset` on; what came out of order is in the fragments.
  var covered: UInt64 = 0
  var hasFragments = false
  var contentChunks: UInt32 = 0
  var errorChunks: UInt32 = 0
  /// Zero while none has come.
  var error = NBDErrorCode(rawValue: 0)
}

extension CommandSlot {
  /// A read whose data does not fit where small replies are answered from.
  @inline(__always)
  var isLargeRead: Bool { command == .read && length > TransmissionMachine.largestInPlace }

  @inline(__always)
  var movesData: Bool { command == .read || command == .write }

  /// Makes the slot a new command's, keeping its generation.
  @inline(__always)
  mutating func start(
    _ command: Command, _ flags: CommandFlags, _ offset: UInt64, _ length: UInt64,
    _ buffer: UnsafeMutableRawPointer?, _ token: Token
  ) {
    isReplied = false
    self.command = command
    self.flags = flags
    purpose = .whole
    self.token = token
    self.offset = offset
    self.length = length
    self.buffer = buffer
    payloadEnd = 0
    covered = 0
    hasFragments = false
    contentChunks = 0
    errorChunks = 0
    error = NBDErrorCode(rawValue: 0)
  }
}
