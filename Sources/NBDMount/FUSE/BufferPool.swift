import Glibc

/// Buffers for request data, by size, kept for the next request, within a bound on what all of them take.
///
/// Not safe to share between threads: its owner locks it, or is one thread. Memory is never cleared: whoever takes a
/// buffer fills what it hands out. Each buffer is a mapping of its own, so that what is given up really goes: an allocator
/// would keep the places of small ones, and not have them for large ones.
struct BufferPool: ~Copyable {
  /// Smallest and largest class in bytes, as powers of two.
  private static let smallest = 12
  private static let largest = 20

  private var free: [[UnsafeMutableRawPointer]] = Array(repeating: [], count: largest - smallest + 1)
  /// Bytes of all buffers, those in use and those kept.
  private(set) var allocated = 0
  private let limit: Int
  private let headroom: Int

  /// - Parameters:
  ///   - limit: bytes of all buffers beyond which none is kept. It does not bound those in use: their user does.
  ///   - headroom: bytes in front of each buffer that are its user's too; whole pages.
  init(limit: Int, headroom: Int = 0) {
    self.limit = limit
    self.headroom = headroom
    for index in free.indices { free[index].reserveCapacity(64) }
  }

  deinit {
    for (index, list) in free.enumerated() {
      for buffer in list { munmap(buffer - headroom, headroom + Self.size(index)) }
    }
  }

  /// Bytes that a buffer for `count` bytes takes.
  func cost(_ count: Int) -> Int {
    let index = Self.index(count)
    return headroom + (index < free.count ? Self.size(index) : count)
  }

  /// A buffer of at least `count` bytes, aligned to the page; nil where the process may have no more memory.
  mutating func take(_ count: Int) -> UnsafeMutableRawPointer? {
    let index = Self.index(count)
    if index < free.count, let buffer = free[index].popLast() { return buffer }
    let cost = cost(count)
    makeRoom(for: cost)
    // SAFETY: what mmap(2) gives is nobody else's.
    guard let memory = mmap(nil, cost, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), memory != MAP_FAILED
    else { return nil }
    allocated += cost
    return memory + headroom
  }

  /// Takes a buffer back that ``take(_:)`` gave for `count` bytes.
  mutating func give(_ buffer: UnsafeMutableRawPointer, _ count: Int) {
    let index = Self.index(count)
    if index < free.count, allocated <= limit {
      free[index].append(buffer)
    } else {
      release(buffer, cost(count))
    }
  }

  /// Gives up buffers that are kept, large ones first, until `cost` bytes more are within the limit.
  private mutating func makeRoom(for cost: Int) {
    for index in free.indices.reversed() {
      while allocated + cost > limit, let buffer = free[index].popLast() { release(buffer, headroom + Self.size(index)) }
    }
  }

  private mutating func release(_ buffer: UnsafeMutableRawPointer, _ cost: Int) {
    munmap(buffer - headroom, cost)
    allocated -= cost
  }

  private static func index(_ count: Int) -> Int {
    max(0, Int.bitWidth - max(count - 1, 1).leadingZeroBitCount - smallest)
  }

  private static func size(_ index: Int) -> Int { 1 << (index + smallest) }
}
