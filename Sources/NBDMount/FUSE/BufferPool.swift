/// Buffers for request data, by size, kept for the next request.
///
/// Not safe to share between threads: its owner locks it, or is one thread. Memory is never cleared: whoever takes a
/// buffer fills what it hands out.
struct BufferPool: ~Copyable {
  /// Smallest and largest class in bytes, as powers of two.
  private static let smallest = 12
  private static let largest = 20

  private var free: [[UnsafeMutableRawPointer]] = Array(repeating: [], count: largest - smallest + 1)
  /// Bytes that may still be kept.
  private var room: Int
  private let headroom: Int

  /// - Parameters:
  ///   - mostKept: bytes that are kept while nobody uses them; of those in use there is no limit here.
  ///   - headroom: bytes in front of each buffer that are its user's too; whole pages.
  init(mostKept: Int, headroom: Int = 0) {
    room = mostKept
    self.headroom = headroom
    for index in free.indices { free[index].reserveCapacity(64) }
  }

  deinit {
    for list in free {
      for buffer in list { (buffer - headroom).deallocate() }
    }
  }

  /// A buffer of at least `count` bytes, aligned to the page.
  mutating func take(_ count: Int) -> UnsafeMutableRawPointer {
    let index = Self.index(count)
    guard index < free.count else { return allocate(count) }
    if let buffer = free[index].popLast() {
      room += Self.size(index)
      return buffer
    }
    return allocate(Self.size(index))
  }

  /// Takes a buffer back that ``take(_:)`` gave for `count` bytes.
  mutating func give(_ buffer: UnsafeMutableRawPointer, _ count: Int) {
    let index = Self.index(count)
    guard index < free.count, Self.size(index) <= room else { return (buffer - headroom).deallocate() }
    room -= Self.size(index)
    free[index].append(buffer)
  }

  private func allocate(_ count: Int) -> UnsafeMutableRawPointer {
    .allocate(byteCount: headroom + count, alignment: 4096) + headroom
  }

  private static func index(_ count: Int) -> Int {
    max(0, Int.bitWidth - max(count - 1, 1).leadingZeroBitCount - smallest)
  }

  private static func size(_ index: Int) -> Int { 1 << (index + smallest) }
}
