import Testing

@testable import NBDMount
@testable import NBDProtocol

@Suite struct ExtentCacheTests {
  private let cache = ExtentCache()

  private func add(_ extents: [Extent]) { cache.add(extents, asked: cache.now) }

  @Test func nothingIsKnownAtFirst() {
    #expect(cache.find(hole: true, from: 5) == .unknown(from: 5))
  }

  @Test func dataAndHolesAreFound() {
    add(extents([(10, false), (10, true), (10, false)]))
    #expect(cache.find(hole: false, from: 3) == .at(3))
    #expect(cache.find(hole: true, from: 3) == .at(10))
    #expect(cache.find(hole: true, from: 12) == .at(12))
    #expect(cache.find(hole: false, from: 12) == .at(20))
    #expect(cache.find(hole: true, from: 25) == .unknown(from: 30))
    #expect(cache.find(hole: false, from: 30) == .unknown(from: 30))
  }

  @Test func answersThatFollowEachOtherAreJoined() {
    add(extents([(10, true)]))
    add(extents(from: 10, [(10, true), (10, false)]))
    #expect(cache.find(hole: false, from: 0) == .at(20))
    #expect(cache.find(hole: true, from: 0) == .at(0))
  }

  /// It may be noted twice, and may begin before the end of what is known, where a server answers in whole blocks.
  @Test func anAnswerThatIsKnownInPartAddsTheRest() {
    add(extents([(10, true), (10, false)]))
    for _ in 0..<2 { add(extents(from: 10, [(10, false), (5, true)])) }
    #expect(cache.find(hole: false, from: 0) == .at(10), "what was known before stays")
    #expect(cache.find(hole: true, from: 10) == .at(20))
    add(extents(from: 15, [(20, true)]))
    #expect(cache.find(hole: true, from: 10) == .at(20), "what was known first counts")
    #expect(cache.find(hole: false, from: 21) == .unknown(from: 35))
  }

  @Test func anAnswerElsewhereBeginsAnew() {
    add(extents([(10, true)]))
    add(extents(from: 100, [(10, false)]))
    #expect(cache.find(hole: true, from: 0) == .unknown(from: 0))
    #expect(cache.find(hole: false, from: 100) == .at(100))
  }

  @Test func aWriteForgetsEverything() {
    add(extents([(10, true)]))
    cache.invalidate()
    #expect(cache.find(hole: true, from: 0) == .unknown(from: 0))
  }

  @Test func anAnswerFromBeforeAWriteIsNotNoted() {
    let asked = cache.now
    cache.invalidate()
    cache.add(extents([(10, true)]), asked: asked)
    #expect(cache.find(hole: true, from: 0) == .unknown(from: 0))
  }
}
