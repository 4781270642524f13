/// Which bytes of a read have come, where they did not come in order.
///
/// Counting bytes is not enough: a server that sends byte 0 twice and byte 1 never would pass. Chunks "MUST NOT
/// overlap" (*Structured reply types*), so that each new range has to be disjoint from all before it.
struct ReadCoverage {
  /// Disjoint, ascending, and never touching: neighbours are joined.
  private var ranges: [Range<UInt64>] = []

  /// Adds `range`, or says what is wrong with it.
  mutating func insert(_ range: Range<UInt64>) throws(ProtocolViolation) {
    // The first range that ends at or after the new one's start.
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < range.lowerBound { low = middle + 1 } else { high = middle }
    }
    var joined = range
    var last = low
    while last < ranges.count, ranges[last].lowerBound <= range.upperBound {
      guard !ranges[last].overlaps(range) else {
        throw ProtocolViolation(
          "chunks of one read overlap: bytes \(range.lowerBound)..<\(range.upperBound) came after \(ranges[last].lowerBound)..<\(ranges[last].upperBound)")
      }
      joined = min(joined.lowerBound, ranges[last].lowerBound)..<max(joined.upperBound, ranges[last].upperBound)
      last += 1
    }
    ranges.replaceSubrange(low..<last, with: CollectionOfOne(joined))
    guard ranges.count <= Limits.readFragments else {
      throw ProtocolViolation("one read was answered in more than \(Limits.readFragments) separate fragments")
    }
  }

  /// Exactly `range` is there.
  func covers(_ range: Range<UInt64>) -> Bool {
    range.isEmpty ? ranges.isEmpty : ranges == [range]
  }
}
