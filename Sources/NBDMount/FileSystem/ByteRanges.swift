import NBDProtocol

/// A set of bytes of the file: sorted ranges that neither overlap nor touch, and never more of them than ``most``.
///
/// Where exact ranges would be too many, the smallest gaps between them are taken in: the set may then hold bytes that were
/// never put in, and never lacks one that was.
struct ByteRanges {
  /// 256 KiB of memory.
  static let most = 16_384

  private(set) var ranges: [Range<UInt64>] = []

  var isEmpty: Bool { ranges.isEmpty }

  init() {}

  /// The bytes of `ranges`, which are in any order, in at most `count` ranges.
  init(_ ranges: [Range<UInt64>], atMost count: Int = most) {
    self.ranges = ranges.filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
    closeGaps(upTo: 0)
    coarsen(to: count)
  }

  mutating func insert(_ range: Range<UInt64>) {
    ranges.unite(range)
    // With room for many more, so that not each of them costs a search for gaps.
    if ranges.count > Self.most { coarsen(to: Self.most / 2) }
  }

  mutating func insert(contentsOf other: [Range<UInt64>]) { self = ByteRanges(ranges + other) }

  /// Takes out exactly `range`; or nothing, where what stays on both sides of it would be one range too many.
  mutating func remove(_ range: Range<UInt64>) {
    guard !range.isEmpty else { return }
    let first = ranges.firstPlace { $0.upperBound > range.lowerBound }
    var last = first
    while last < ranges.count, ranges[last].lowerBound < range.upperBound { last += 1 }
    guard first < last else { return }
    let before = ranges[first].lowerBound..<max(range.lowerBound, ranges[first].lowerBound)
    let after = min(range.upperBound, ranges[last - 1].upperBound)..<ranges[last - 1].upperBound
    let isSplit = last - first == 1 && !before.isEmpty && !after.isEmpty
    guard !isSplit || ranges.count < Self.most else { return }
    ranges.replaceSubrange(first..<last, with: [before, after].lazy.filter { !$0.isEmpty })
  }

  mutating func removeAll() { ranges.removeAll() }

  private mutating func coarsen(to count: Int) {
    guard ranges.count > count else { return }
    let gaps = zip(ranges, ranges.dropFirst()).map { $1.lowerBound - $0.upperBound }.sorted()
    closeGaps(upTo: gaps[ranges.count - count - 1])
  }

  /// Makes one of sorted ranges that are `gap` bytes apart or less.
  private mutating func closeGaps(upTo gap: UInt64) {
    var kept = 0
    for index in ranges.indices {
      let range = ranges[index]
      if kept > 0, range.lowerBound <= ranges[kept - 1].upperBound || range.lowerBound - ranges[kept - 1].upperBound <= gap {
        ranges[kept - 1] = ranges[kept - 1].lowerBound..<max(ranges[kept - 1].upperBound, range.upperBound)
      } else {
        ranges[kept] = range
        kept += 1
      }
    }
    ranges.removeLast(ranges.count - kept)
  }
}
