import Testing

@testable import NBDMount
@testable import NBDProtocol

/// `st_blocks`: never less than what has data, and found out with bounded effort.
@Suite struct AllocationTests {
  private let export = Export.test(size: 1000 * kib)

  private func map(size: UInt64 = 1000 * kib) -> AllocationMap { AllocationMap(export, size: size) }

  @Test func whatIsNotKnownIsAllocated() { #expect(map().allocated == 1000 * kib) }

  @Test func holesTakeNoSpace() {
    let map = map()
    map.add(extents([(100 * kib, true), (50 * kib, false), (850 * kib, true)]), within: 0..<1000 * kib)
    #expect(map.allocated == 50 * kib)
  }

  /// Where that were none, tar would take the file for one hole.
  @Test func aFileWithBytesHasABlock() {
    let map = map()
    map.add(extents([(1000 * kib, true)]), within: 0..<1000 * kib)
    #expect(map.allocated == 512)
    #expect(AllocationMap(export, size: 0).allocated == 0)
  }

  // MC-063
  @Test func aHoleThatMayHaveDataIsNone() {
    // NBD_STATE_HOLE without NBD_STATE_ZERO
    #expect(!AllocationMap.isHole(Extent(offset: 0, length: 1, status: 1)))
    #expect(AllocationMap.isHole(Extent(offset: 0, length: 1, status: 2)))
  }

  @Test(arguments: [true, false]) func whatIsWrittenTakesSpaceWhicheverIsNotedFirst(isWrittenFirst: Bool) {
    let map = map()
    if isWrittenFirst { map.wrote(10 * kib) }
    map.add(extents([(1000 * kib, true)]), within: 0..<1000 * kib)
    if !isWrittenFirst { map.wrote(10 * kib) }
    #expect(map.allocated == 10 * kib)
  }

  @Test func writingAgainAndAgainNeverGoesBeyondTheSize() {
    let map = map()
    map.add(extents([(1000 * kib, true)]), within: 0..<1000 * kib)
    for _ in 0..<100 { map.wrote(100 * kib) }
    #expect(map.allocated == 1000 * kib)
  }

  @Test func onlyWhatWasAskedAboutCounts() {
    let map = map()
    map.add(extents([(100 * kib, true)]), within: 60 * kib..<80 * kib)
    #expect(map.allocated == 980 * kib)
  }

  // MARK: The search

  /// Plays a server that answers `length` bytes at a time, and returns what it was asked.
  private func scan(_ export: Export, _ map: AllocationMap, answering length: UInt64, extentsEach: UInt64 = 1) -> [Operation] {
    var asked: [Operation] = []
    guard var search = HoleScan(map, size: export.reachableSize) else { return [] }
    while let question = search.next() {
      asked.append(question)
      guard asked.count < 10_000 else { break }
      let answer = min(length, question.length)
      search.take(
        .success,
        [extents(from: question.offset, (0..<extentsEach).map { _ in (answer / extentsEach, true) })])
    }
    return asked
  }

  @Test func aMapInPiecesIsReadToTheEnd() {
    let map = map()
    let asked = scan(export, map, answering: 300 * kib)
    #expect(asked.map(\.offset) == [0, 300 * kib, 600 * kib, 900 * kib])
    #expect(map.allocated == 512)
  }

  /// What was not asked about counts as data.
  @Test func theLargestExportIsAskedAboutInPart() {
    let export = Export.test(size: UInt64(Int64.max))
    let map = AllocationMap(export, size: export.size)
    let asked = scan(export, map, answering: 4 * gib)
    #expect(asked.count == HoleScan.mostQuestions)
    #expect(map.allocated == export.size - UInt64(HoleScan.mostQuestions) * 4 * gib)
  }

  @Test func aMapOfManyPiecesIsReadInPart() {
    let export = Export.test(size: 1024 * gib)
    let asked = scan(export, AllocationMap(export, size: export.size), answering: gib, extentsEach: 8192)
    #expect(asked.count == HoleScan.mostExtents / 8192)
  }

  /// Beyond the last whole block there is nothing that a request could name.
  @Test func noQuestionGoesBeyondTheReachableSize() throws {
    let export = Export.test(size: 1000 * kib + 100, minimum: 4096)
    for question in scan(export, AllocationMap(export, size: export.reachableSize), answering: 64 * kib) {
      #expect(question.length > 0 && question.offset + question.length == export.reachableSize)
      try export.check(question)
    }
  }

  @Test(arguments: [Outcome.failed(.invalidArgument), .connectionLost, .success])
  func aServerThatCannotSayIsAskedOnce(outcome: Outcome) throws {
    let map = map()
    var search = try #require(HoleScan(map, size: 1000 * kib))
    _ = search.next()
    search.take(outcome, [[]])
    if let more = search.next() { Issue.record("asks \(more)") }
    #expect(map.allocated == 1000 * kib)
  }

  @Test func withoutTheContextNobodyIsAsked() {
    let export = Export.test(size: kib, contexts: ["qemu:allocation-depth"])
    if HoleScan(AllocationMap(export, size: kib), size: kib) != nil { Issue.record("there is nothing to ask for") }
  }
}
