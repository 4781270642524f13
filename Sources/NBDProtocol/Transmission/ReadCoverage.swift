/// Which bytes of a read have come, where they did not come in order.
///
/// Counting bytes is not enough: a server that sends byte 0 twice and byte 1 never would pass. Chunks "MUST NOT
/// overlap" (*Structured reply types*), so that each new range has to be disjoint from all before it.
struct ReadCoverage {
  /// See `SortedRanges.swift`.
  private var ranges: [Range<UInt64>] = []

  /// Adds `range`, or says what is wrong with it.
  mutating func insert(_ range: Range<UInt64>) throws(ProtocolViolation) {
    let next = ranges.firstPlace { $0.upperBound > range.lowerBound }
    if next < ranges.count, ranges[next].overlaps(range) {
      throw ProtocolViolation("chunks of one read overlap: bytes \(range) came after \(ranges[next])")
    }
    ranges.unite(range)
    guard ranges.count <= Limits.readFragments else {
      throw ProtocolViolation("one read was answered in more than \(Limits.readFragments) separate fragments")
    }
  }

  /// Exactly `range` is there.
  func covers(_ range: Range<UInt64>) -> Bool {
    range.isEmpty ? ranges.isEmpty : ranges == [range]
  }
}
