/// Sets of bytes as sorted ranges that neither overlap nor touch.
extension [Range<UInt64>] {
  /// Adds `range`, and calls `isNew` with each part of it that was not there, in order.
  ///
  /// Takes the logarithm of their number, and the number of those that become one with it.
  package mutating func unite<Failure: Error>(
    _ range: Range<UInt64>, isNew: (Range<UInt64>) throws(Failure) -> Void
  ) throws(Failure) {
    guard !range.isEmpty else { return }
    // Those that overlap or touch become one with it.
    let first = firstPlace { $0.upperBound >= range.lowerBound }
    var end = first
    var position = range.lowerBound
    while end < count, self[end].lowerBound <= range.upperBound {
      if position < self[end].lowerBound { try isNew(position..<self[end].lowerBound) }
      position = Swift.max(position, Swift.min(self[end].upperBound, range.upperBound))
      end += 1
    }
    if position < range.upperBound { try isNew(position..<range.upperBound) }
    var whole = range
    if first < end {
      whole = Swift.min(range.lowerBound, self[first].lowerBound)..<Swift.max(range.upperBound, self[end - 1].upperBound)
    }
    replaceSubrange(first..<end, with: CollectionOfOne(whole))
  }

  /// Adds `range`.
  package mutating func unite(_ range: Range<UInt64>) { unite(range) { _ in } }

  /// The first place that `condition` holds for, which holds for all after it too; or the end.
  package func firstPlace(where condition: (Range<UInt64>) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if condition(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
