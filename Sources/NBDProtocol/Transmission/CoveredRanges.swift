/// A set of bytes that only grows: sorted ranges that neither overlap nor touch.
struct CoveredRanges {
  private(set) var ranges: [Range<UInt64>] = []

  /// Adds `range`, and calls `isNew` with each part of it that was not covered, in order.
  mutating func insert(_ range: Range<UInt64>, _ isNew: (Range<UInt64>) -> Void) {
    guard !range.isEmpty else { return }
    // All that overlap or touch it.
    let first = firstIndex { $0.upperBound >= range.lowerBound }
    var end = first
    var position = range.lowerBound
    while end < ranges.count, ranges[end].lowerBound <= range.upperBound {
      if position < ranges[end].lowerBound { isNew(position..<ranges[end].lowerBound) }
      position = max(position, min(ranges[end].upperBound, range.upperBound))
      end += 1
    }
    if position < range.upperBound { isNew(position..<range.upperBound) }
    var joined = range
    if first < end {
      joined = min(range.lowerBound, ranges[first].lowerBound)..<max(range.upperBound, ranges[end - 1].upperBound)
    }
    ranges.replaceSubrange(first..<end, with: CollectionOfOne(joined))
  }

  /// The first range that `condition` holds for: it holds for none before it, and for all after it.
  private func firstIndex(where condition: (Range<UInt64>) -> Bool) -> Int {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if condition(ranges[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
