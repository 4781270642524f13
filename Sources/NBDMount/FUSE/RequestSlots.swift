import CFuse3
import Glibc
import NBDProtocol

/// The FUSE requests that one reactor has submitted and not answered.
struct RequestSlots: ~Copyable {
  struct Slot {
    /// The kernel's number for the request.
    var unique: UInt64
    /// libfuse answers, for a request that it took apart; nil for a read or a write that the engine took apart itself.
    var libfuse: fuse_req_t?
    var request: FileRequest
    /// The caller's thread, for finding out whether it is being killed; 0 where it has no number here.
    var process: pid_t
    /// When it was read, in calls of ``FuseSource/watch(_:)``.
    var born: UInt32
    /// Where the data of a read goes, or of a write lies.
    var buffer: RequestBuffers.Buffer?
    /// There was no memory for its data when that came: it went to ``FuseSource/sink``.
    var hasNoMemory = false
    /// Room that is kept for the data of a read that has no buffer yet.
    var reserved = 0
    /// The caller was being killed, and was told so. What the server says still counts, and nobody hears of it.
    var isAnswered = false
    /// Holds what a request that was answered early may still write.
    var hold: RangeGate.Hold?
  }

  /// As many as a connection takes commands.
  static let capacity = 1024

  private let slots: UnsafeMutablePointer<Slot>
  private let generations: UnsafeMutablePointer<UInt32>
  private let isActive: UnsafeMutablePointer<Bool>
  private let free: UnsafeMutablePointer<Int32>
  private(set) var freeCount = capacity

  init() {
    slots = .allocate(capacity: Self.capacity)
    generations = .allocate(capacity: Self.capacity)
    isActive = .allocate(capacity: Self.capacity)
    free = .allocate(capacity: Self.capacity)
    generations.initialize(repeating: 0, count: Self.capacity)
    isActive.initialize(repeating: false, count: Self.capacity)
    for index in 0..<Self.capacity { free[index] = Int32(Self.capacity - 1 - index) }
  }

  deinit {
    slots.deallocate()
    generations.deallocate()
    isActive.deallocate()
    free.deallocate()
  }

  var count: Int { Self.capacity - freeCount }

  /// Takes a slot. Requires `freeCount > 0`.
  @inline(__always)
  mutating func insert(_ slot: Slot) -> Token {
    freeCount -= 1
    let index = Int(free[freeCount])
    (slots + index).initialize(to: slot)
    isActive[index] = true
    return Token(.source, UInt(generations[index]) << 32 | UInt(index))
  }

  /// The slot of a token that ``insert(_:)`` gave and ``remove(_:)`` has not taken.
  @inline(__always)
  func pointer(_ token: Token) -> UnsafeMutablePointer<Slot>? {
    let index = Int(token.value & 0xffff_ffff)
    guard index < Self.capacity, isActive[index], UInt(generations[index]) == token.value >> 32 else { return nil }
    return slots + index
  }

  @inline(__always)
  mutating func remove(_ token: Token) {
    let index = Int(token.value & 0xffff_ffff)
    isActive[index] = false
    generations[index] &+= 1
    free[freeCount] = Int32(index)
    freeCount += 1
  }

  /// The requests that `condition` holds for; a search, for the rare occasion.
  func tokens(where condition: (Slot) -> Bool) -> [Token] {
    var found: [Token] = []
    for index in 0..<Self.capacity where isActive[index] && condition(slots[index]) {
      found.append(Token(.source, UInt(generations[index]) << 32 | UInt(index)))
    }
    return found
  }
}

extension FileRequest {
  /// The bytes of the file that it may change; nil where it changes none.
  var changes: Range<UInt64>? {
    switch kind {
    case .write, .zero: offset..<(offset + length)
    case .read, .sync, .seek: nil
    }
  }
}
