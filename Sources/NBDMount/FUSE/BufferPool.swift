/// Buffers for request data, by size, kept for the next request.
///
/// Not safe to share between threads: its owner locks it, or is one thread. Memory is never cleared: whoever takes a
/// buffer fills what it hands out.
struct BufferPool: ~Copyable {
  /// Smallest and largest class in bytes, as powers of two.
  private static let smallest = 12
  private static let largest = 20

  private var free: [[UnsafeMutableRawPointer]] = Array(repeating: [], count: largest - smallest + 1)

  init() {
    for index in free.indices { free[index].reserveCapacity(64) }
  }

  deinit {
    for list in free {
      for buffer in list { buffer.deallocate() }
    }
  }

  /// A buffer of at least `count` bytes, aligned to the page.
  mutating func take(_ count: Int) -> UnsafeMutableRawPointer {
    let index = Self.index(count)
    if index < free.count, let buffer = free[index].popLast() { return buffer }
    return .allocate(byteCount: index < free.count ? 1 << (index + Self.smallest) : count, alignment: 4096)
  }

  /// Takes a buffer back that ``take(_:)`` gave for `count` bytes.
  mutating func give(_ buffer: UnsafeMutableRawPointer, _ count: Int) {
    let index = Self.index(count)
    if index < free.count { free[index].append(buffer) } else { buffer.deallocate() }
  }

  private static func index(_ count: Int) -> Int {
    max(0, Int.bitWidth - max(count - 1, 1).leadingZeroBitCount - smallest)
  }
}
