import TestSupport
import Testing

@testable import NBDMount

@Suite struct ByteRangesTests {
  @Test(arguments: 0..<20 as Range<UInt64>) func randomInsertionsAndRemovalsEqualTheSameOnASet(seed: UInt64) {
    var generator = SeededGenerator(seed)
    var ranges = ByteRanges()
    var model: Set<UInt64> = []
    for step in 0..<300 {
      let length = UInt64.random(in: 0...9, using: &generator)
      let start = UInt64.random(in: 0...(200 - length), using: &generator)
      let range = start..<start + length
      switch Int.random(in: 0..<5, using: &generator) {
      case 0...1:
        ranges.insert(range)
        model.formUnion(range)
      case 2...3:
        ranges.remove(range)
        model.subtract(range)
      default:
        let others = [range, start / 2..<start / 2 + 3]
        ranges.insert(contentsOf: others)
        for other in others { model.formUnion(other) }
      }
      #expect(Set(ranges.ranges.joined()) == model, "seed \(seed), step \(step)")
      #expect(isCanonical(ranges), "seed \(seed), step \(step): \(ranges.ranges)")
      #expect(ranges.isEmpty == model.isEmpty)
    }
  }

  /// Sorted, not empty, and apart from each other.
  private func isCanonical(_ ranges: ByteRanges) -> Bool {
    ranges.ranges.allSatisfy { !$0.isEmpty }
      && zip(ranges.ranges, ranges.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }
  }

  /// A file may be as large as any.
  @Test func theLastByteOfTheLargestFileIsInside() {
    let last = UInt64(Int64.max) - 1..<UInt64(Int64.max)
    var ranges = ByteRanges([0..<1, last])
    ranges.remove(0..<1)
    #expect(ranges.ranges == [last])
    ranges.remove(0..<UInt64(Int64.max))
    #expect(ranges.isEmpty)
  }

  @Test func tooManyTakeTheSmallestGapsIn() {
    let ranges = ByteRanges([0..<1, 2..<3, 10..<11, 100..<101, 103..<104], atMost: 3)
    #expect(ranges.ranges == [0..<3, 10..<11, 100..<104])
  }

  @Test func theBoundHoldsAndNothingIsLacking() {
    var ranges = ByteRanges()
    let all = (0..<UInt64(3 * ByteRanges.most)).map { (number) -> Range<UInt64> in
      let start = number * number * 4
      return start..<start + 2
    }
    for range in all { ranges.insert(range) }
    #expect(ranges.ranges.count <= ByteRanges.most)
    ranges.insert(contentsOf: all)
    #expect(ranges.ranges.count <= ByteRanges.most && isCanonical(ranges))
    var index = 0
    for range in all {
      while ranges.ranges[index].upperBound < range.upperBound { index += 1 }
      #expect(ranges.ranges[index].lowerBound <= range.lowerBound)
    }
  }

  @Test func whereTheresNoRoomForTwoHalvesNothingIsTakenOut() {
    let all = (0..<UInt64(ByteRanges.most)).map { $0 * 10..<$0 * 10 + 5 }
    var ranges = ByteRanges(all)
    ranges.remove(2..<3)
    #expect(ranges.ranges == all)
    ranges.remove(0..<3)
    #expect(ranges.ranges.first == 3..<5)
    ranges.remove(0..<20)
    ranges.remove(22..<23)
    #expect(ranges.ranges.prefix(2) == [20..<22, 23..<25])
  }
}
