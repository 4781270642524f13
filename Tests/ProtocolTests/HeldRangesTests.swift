import Testing

@testable import NBDProtocol

/// Ranges in doubt, as a value: what is held, and what waits for it.
@Suite struct HeldRangesTests {
  @Test func nothingHeldBlocksNothing() {
    var ranges = HeldRanges(minimumBlock: 1)
    #expect(ranges.isEmpty && !ranges.blocks(0..<UInt64.max))
    let hold = ranges.hold([0..<512])
    ranges.release(hold)
    #expect(ranges.isEmpty && !ranges.blocks(0..<512))
  }

  @Test(arguments: [
    (0..<100, false), (0..<101, true), (100..<200, true), (199..<300, true), (200..<300, false), (0..<1000, true), (150..<150, false),
  ] as [(Range<UInt64>, Bool)]) func onlyWhatOverlapsIsBlocked(range: Range<UInt64>, isBlocked: Bool) {
    var ranges = HeldRanges(minimumBlock: 1)
    _ = ranges.hold([100..<200])
    #expect(ranges.blocks(range) == isBlocked)
  }

  // A write of a part of a block writes all of it.
  @Test func rangesAreWidenedToTheMinimumBlock() {
    var ranges = HeldRanges(minimumBlock: 4096)
    _ = ranges.hold([5000..<5001])
    #expect(ranges.blocks(4096..<4097) && ranges.blocks(8191..<9000))
    #expect(!ranges.blocks(0..<4096) && !ranges.blocks(8192..<8193))
  }

  @Test func theEndOfTheNumbersIsNoTrap() {
    var ranges = HeldRanges(minimumBlock: 4096)
    _ = ranges.hold([(UInt64.max - 10)..<UInt64.max])
    #expect(ranges.blocks((UInt64.max - 1)..<UInt64.max) && !ranges.blocks(0..<4096))
  }

  // Each hold is released by itself, also where two are of the same bytes.
  @Test func aRangeIsHeldUntilItsLastHoldIsReleased() {
    var ranges = HeldRanges(minimumBlock: 1)
    let first = ranges.hold([0..<512, 1024..<1536])
    let second = ranges.hold([0..<512])
    ranges.release(first)
    #expect(ranges.blocks(0..<1) && !ranges.blocks(1024..<1025))
    ranges.release(first)
    #expect(ranges.blocks(0..<1))
    ranges.release(second)
    #expect(ranges.isEmpty)
  }

  @Test func anEmptyRangeHoldsNothing() {
    var ranges = HeldRanges(minimumBlock: 512)
    let hold = ranges.hold([700..<700])
    #expect(ranges.isEmpty)
    ranges.release(hold)
  }
}

/// The order in which parked operations go.
@Suite struct ParkedOperationsTests {
  private static func write(_ number: UInt, _ offset: UInt64) -> Operation {
    Operation(.write, offset: offset, length: 512, token: Token(.source, number))
  }

  private func order(_ parked: inout ParkedOperations, isBlocked: (Operation) -> Bool = { _ in false }) -> [UInt] {
    var order: [UInt] = []
    while let next = parked.next(isBlocked: isBlocked) { order.append(next.token.value) }
    return order
  }

  @Test func theOldestThatMayGoesFirst() {
    var parked = ParkedOperations()
    for number in 0..<3 as Range<UInt> { parked.append(Self.write(number, UInt64(number) * 4096)) }
    #expect(order(&parked) { $0.offset == 0 } == [1, 2])
    #expect(order(&parked) == [0] && parked.isEmpty)
  }

  @Test func aYoungerOneWaitsForAnOlderOneThatItOverlaps() {
    var parked = ParkedOperations()
    for (number, offset) in [0, 256, 600, 4096].enumerated() { parked.append(Self.write(UInt(number), UInt64(offset))) }
    // The third does not touch the first, and must not pass the second, which does.
    #expect(order(&parked) { $0.offset == 0 } == [3])
    #expect(order(&parked) == [0, 1, 2])
  }

  @Test func oneThatIsTakenOutLetsTheOthersGo() {
    var parked = ParkedOperations()
    parked.append(Self.write(0, 0))
    parked.append(Self.write(1, 256))
    for isThere in [true, false] {
      let removed = parked.removeFirst { $0.token.value == 0 }
      #expect((removed != nil) == isThere)
    }
    #expect(order(&parked) { $0.offset == 0 } == [1])
  }
}
