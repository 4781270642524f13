import Testing

@testable import NBDMount

/// Memory for request data.
@Suite struct BufferPoolTests {
  private static let page = 4096

  @Test func whatIsGivenBackIsTheNextOfItsSize() throws {
    var pool = BufferPool(limit: 1 << 20)
    let buffer = try present(pool.take(5000))
    pool.give(buffer, 5000)
    let next = try present(pool.take(8192))
    #expect(next == buffer)
    pool.give(next, 8192)
  }

  // Small buffers that are kept make way for large ones, and the other way round; the page in front of each counts.
  @Test(arguments: [[4096, 1 << 20, 65536], [1 << 20, 4096], [600_000, 70_000, 17_000, 600_000]])
  func allSizesShareOneBound(sizes: [Int]) throws {
    let limit = 4 << 20
    var pool = BufferPool(limit: limit, headroom: Self.page)
    for size in sizes {
      let count = limit / pool.cost(size)
      let buffers = try (0..<count).map { _ in try present(pool.take(size)) }
      for buffer in buffers { buffer.initializeMemory(as: UInt8.self, repeating: 1, count: size) }
      #expect(Set(buffers).count == count)
      #expect(pool.allocated <= limit)
      for buffer in buffers { pool.give(buffer, size) }
      #expect(pool.allocated <= limit)
    }
  }

  // More may be in use than is kept, and a request larger than any class is served too.
  @Test func whatIsBeyondTheBoundIsNotKept() throws {
    var pool = BufferPool(limit: 1 << 20)
    let sizes = [1 << 20, 1 << 20, 3 << 20]
    let buffers = try sizes.map { try present(pool.take($0)) }
    #expect(pool.allocated == 5 << 20)
    for (buffer, size) in zip(buffers, sizes) { pool.give(buffer, size) }
    #expect(pool.allocated <= 1 << 20)
  }
}
