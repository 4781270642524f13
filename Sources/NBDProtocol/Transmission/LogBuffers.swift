import Glibc

/// The memory of a ``WriteLog``: buffers of one size, for payloads.
///
///     free ──> being filled, with one small payload after the other ──> full ──┐
///      │ ↑                                                                      │ all that is in it was dropped
///      │ └──────────────────────────────────────────────────────────────────────┘
///      └────> lent, for one large payload <──> kept: its borrower has got another one for it
///
/// What is put in is dropped in the same order. So small payloads are in buffers that lie behind each other, of which the first and
/// the last may be in use in part: two buffers more than the payloads take are always enough.
///
/// Not safe to share: the log's lock guards it.
struct LogBuffers {
  /// Bytes of each.
  static let size = 1 << 20
  /// Bytes in front of each that are its borrower's too.
  static let headroom = 4096
  /// Most of them that are lent at one time.
  private static let mostLent = 64
  private static let stride = headroom + size
  private static let hugePage = 2 << 20

  /// A place for a payload, or for the first part of it.
  struct Place {
    var start: UnsafeMutableRawPointer
    /// Bytes.
    var count: Int
    /// Which of the buffers it is in.
    var buffer: Int
  }

  private let memory: UnsafeMutableRawPointer
  private let mapped: Int
  private let first: UnsafeMutableRawPointer
  private let count: Int
  /// By buffer: how many payloads, or parts of them, are in it.
  private let occupants: UnsafeMutablePointer<Int32>
  /// Those that are free, as a stack: what was used last is what the caches may still hold.
  private let free: UnsafeMutablePointer<Int32>
  private var freeCount: Int
  private var lent = 0
  private var filling: Int
  private var filled = 0

  /// - Parameter capacity: bytes of payloads, a multiple of ``size``. Memory is taken from the system as it is used.
  /// - Throws: ``NBDError/system(_:doing:)``: there is not so much memory.
  init(capacity: Int) throws(NBDError) {
    count = capacity / Self.size + 2 + Self.mostLent
    mapped = Self.hugePage + count * Self.stride
    guard let memory = mmap(nil, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      memory != MAP_FAILED
    else { throw .system(.noMemory, doing: "cannot have \(capacity) bytes for the write log") }
    self.memory = memory
    // All of it is written again and again: fewer and larger pages take less time.
    first = memory.alignedUp(toMultipleOf: Self.hugePage)
    madvise(first, count * Self.stride, MADV_HUGEPAGE)
    occupants = .allocate(capacity: count)
    occupants.initialize(repeating: 0, count: count)
    free = .allocate(capacity: count)
    for index in 0..<count { free[index] = Int32(count - 1 - index) }
    freeCount = count - 1
    filling = Int(free[freeCount])
  }

  func deallocate() {
    munmap(memory, mapped)
    occupants.deallocate()
    free.deallocate()
  }

  /// Where all of them are.
  var range: Range<UnsafeMutableRawPointer> { first..<(first + count * Self.stride) }

  private func start(_ index: Int) -> UnsafeMutableRawPointer { first + index * Self.stride + Self.headroom }

  private mutating func take() -> Int {
    // An invariant: see above.
    precondition(freeCount > 0)
    freeCount -= 1
    return Int(free[freeCount])
  }

  // MARK: Small payloads

  /// A place for a payload of `count` bytes, or for as much of it as the buffer that is being filled has room for.
  mutating func place(_ count: Int) -> Place {
    if filled == Self.size {
      filling = take()
      filled = 0
    }
    let place = Place(start: start(filling) + filled, count: min(count, Self.size - filled), buffer: filling)
    filled += place.count
    occupants[filling] += 1
    return place
  }

  /// What is at a place that ``place(_:)`` gave, or ``keep(_:)``, is not needed any more.
  mutating func drop(_ buffer: Int) {
    occupants[buffer] -= 1
    guard occupants[buffer] == 0 else { return }
    if buffer == filling {
      filled = 0
    } else {
      free[freeCount] = Int32(buffer)
      freeCount += 1
    }
  }

  // MARK: Large payloads

  /// A buffer for as long as the log lives. Nil where so many are lent already.
  mutating func lend() -> UnsafeMutableRawPointer? {
    guard lent < Self.mostLent else { return nil }
    lent += 1
    return start(take())
  }

  /// Keeps a buffer that was lent, with the payload in it; its borrower has the other one from now on. Nil where `start` is not the
  /// start of one.
  mutating func keep(_ start: UnsafeMutableRawPointer) -> (kept: Int, other: UnsafeMutableRawPointer)? {
    let (index, rest) = (start - first - Self.headroom).quotientAndRemainder(dividingBy: Self.stride)
    guard start > first, index < count, rest == 0 else { return nil }
    occupants[index] = 1
    return (index, self.start(take()))
  }
}
