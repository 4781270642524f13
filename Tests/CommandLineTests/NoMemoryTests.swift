import Testing

@testable import NBDMount

/// Where the process may have no more memory, a request fails, and not the mount.
@Suite struct NoMemoryTests {
  /// Bytes that no machine has.
  private static let impossible = 1 << 60

  @Test func thePoolSaysSo() {
    var pool = BufferPool(limit: 1 << 20)
    let buffer = pool.take(Self.impossible)
    #expect(buffer == nil)
    #expect(pool.allocated == 0)
  }

  @Test func requestsCannotHaveMoreThanThereIs() {
    #expect(throws: (any Error).self) { _ = try RequestBuffers(largest: Self.impossible / 4, budget: 0).largest }
  }

  /// Room that was not given is still there.
  @Test func whatWasNotGivenTakesNoRoom() throws {
    var buffers = try RequestBuffers(largest: 1 << 20, budget: 4 << 20)
    let buffer = buffers.take(Self.impossible)
    let haveRoom = buffers.haveRoom
    #expect(buffer == nil && haveRoom)
  }
}
