import Testing

@testable import NBDMount

/// Who reads in sequence gets windows ahead of it, and nobody else does.
struct SequentialReadsTests {
  private static let block: UInt64 = 128 << 10
  private static let mib: UInt64 = 1 << 20

  /// Plays a program that reads from `start` on, block after block, and finds in the cache what was fetched for it. Returns the
  /// windows.
  private func read(
    _ reads: inout SequentialReads, from start: UInt64 = 0, to end: UInt64
  ) -> [Range<UInt64>] {
    var windows: [Range<UInt64>] = []
    var position = start
    while position < end {
      if let window = reads.note(position, Self.block) {
        windows.append(window)
        position = window.upperBound
      } else {
        position += Self.block
      }
    }
    return windows
  }

  @Test func windowsGrowAndCoverTheFileOnce() throws {
    let size = 64 * Self.mib
    var reads = SequentialReads(size: size, largestWindow: 8 << 20)
    let windows = read(&reads, to: size)
    #expect(windows.first == 2 * Self.block..<2 * Self.block + Self.mib)
    #expect(windows.prefix(5).map { $0.upperBound - $0.lowerBound } == [1, 2, 4, 8, 8].map { $0 * Self.mib })
    for (earlier, later) in zip(windows, windows.dropFirst()) { #expect(earlier.upperBound < later.lowerBound) }
    let last = try #require(windows.last)
    #expect(size - last.upperBound < 2 * Self.mib)
  }

  /// What is to be fetched after each of these reads of one block.
  private func windows(_ offsets: [UInt64], size: UInt64 = 1 << 40, largestWindow: Int = 8 << 20) -> [Range<UInt64>?] {
    var reads = SequentialReads(size: size, largestWindow: UInt64(largestWindow))
    return offsets.map { reads.note($0, Self.block) }
  }

  @Test func scatteredReadsGetNothing() {
    let found = windows((0..<1000).map { UInt64($0 &* 7919 % 1000) * 16 * Self.mib })
    #expect(found.allSatisfy { $0 == nil })
  }

  @Test func severalReadersAtTheSameTime() {
    let starts = (0..<4).map { UInt64($0) << 30 }
    let found = windows(starts + starts.map { $0 + Self.block })
    #expect(found.map { $0?.lowerBound } == [nil, nil, nil, nil] + starts.map { $0 + 2 * Self.block })
  }

  @Test func requestsMayOvertakeEachOther() {
    let found = windows([1, 0, 2].map { $0 * Self.block })
    #expect(found.map { $0?.lowerBound } == [nil, nil, 3 * Self.block])
  }

  @Test func theSameAgainIsNoSequence() {
    let found = windows(Array(repeating: 0, count: 10))
    #expect(found.allSatisfy { $0 == nil })
  }

  @Test func nothingIsFetchedBeyondTheEnd() {
    let size = 2 * Self.block + Self.mib + 17
    let found = windows([0, 1, 10].map { $0 * Self.block }, size: size)
    #expect(found == [nil, 2 * Self.block..<size - 17, nil])
    #expect(windows([0, 1].map { $0 * Self.block }, size: size - 18) == [nil, nil], "not worth it")
  }

  @Test func noWindowNoFetching() {
    let found = windows((0..<10).map { $0 * Self.block }, largestWindow: 0)
    #expect(found.allSatisfy { $0 == nil })
  }
}
