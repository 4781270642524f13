import Testing

@testable import NBDMount

/// What an fsync may say, case by case; WriteTrackerModelTests has all of them together.
@Suite struct WriteTrackerTests {
  private let tracker = WriteTracker()
  private let a: Range<UInt64> = 0..<4096
  private let b: Range<UInt64> = 1 << 40..<1 << 40 + 512

  private func write(_ range: Range<UInt64>) { tracker.wrote(range, submitted: tracker.epoch) }

  /// An fsync whose flush ends so. Nothing else is under way.
  private func flush(_ end: WriteTracker.FlushEnd = .succeeded) -> Bool { isDurable(tracker.endFlush(tracker.beginFlush(), end)) }

  private func isDurable(_ verdict: WriteTracker.Verdict) -> Bool {
    if case .durable = verdict { true } else { false }
  }

  @Test func nothingIsToBeFlushedUnlessSomethingWasWritten() {
    #expect(!tracker.needsFlush)
    write(a)
    #expect(tracker.needsFlush)
    #expect(flush())
    #expect(!tracker.needsFlush)
  }

  @Test func aWriteWhileTheFlushRunsNeedsAnother() {
    write(a)
    let first = tracker.beginFlush()
    #expect(tracker.needsFlush, "the flush has not ended yet")
    write(a)
    #expect(isDurable(tracker.endFlush(first, .succeeded)))
    #expect(tracker.needsFlush)
  }

  /// One page that had no room on the server is no reason to call other programs' data lost.
  @Test func aPageThatCouldNotBeWrittenBackLosesNothingElse() {
    write(b)
    tracker.failedLate(a)
    #expect(!flush())
    write(a)
    #expect(flush())
  }

  @Test func everyFlushFailsAfterOneHasFailed() {
    write(a)
    #expect(!flush(.failed))
    for _ in 0..<3 {
      #expect(tracker.needsFlush)
      #expect(!flush())
    }
  }

  /// Exactly what was lost, in any pieces.
  @Test func whatIsWrittenAgainAndFlushedIsDurable() {
    write(b)
    #expect(!flush(.failed))
    write(b.lowerBound..<b.lowerBound + 100)
    write(b.lowerBound + 101..<b.upperBound)
    #expect(!flush(), "a byte is missing")
    write(b.lowerBound + 100..<b.lowerBound + 101)
    #expect(flush())
    #expect(!tracker.needsFlush)
  }

  @Test func theFirstFlushAfterTheRewriteHasToSucceed() {
    write(a)
    #expect(!flush(.failed))
    write(a)
    #expect(!flush(.failed))
    #expect(!flush())
  }

  @Test func aFailureWithNothingAtRiskLosesNothing() {
    write(a)
    #expect(flush())
    #expect(!flush(.failed))
    #expect(flush())
  }

  @Test func aFlushThatNeverLeftChangesNothing() {
    write(a)
    #expect(!flush(.neverSent))
    #expect(tracker.needsFlush)
    #expect(flush())
  }

  /// Something was lost when it began: whoever calls it is not told that the rewrite, which it may not cover, has mended that.
  @Test func aRewriteWhileTheFlushRunsComesTooLateForIt() {
    write(a)
    #expect(!flush(.failed))
    let second = tracker.beginFlush()
    write(a)
    #expect(!isDurable(tracker.endFlush(second, .succeeded)))
    #expect(flush())
  }

  /// The server may have carried it out before the flush that failed, and lost it with the rest.
  @Test(arguments: [true, false]) func aWriteUnderWayWhenTheFlushFailsIsLostToo(isAnsweredFirst: Bool) {
    write(a)
    let epoch = tracker.epoch
    let first = tracker.beginFlush()
    if isAnsweredFirst { tracker.wrote(b, submitted: epoch) }
    #expect(!isDurable(tracker.endFlush(first, .failed)))
    if !isAnsweredFirst { tracker.wrote(b, submitted: epoch) }
    write(a)
    #expect(!flush())
    write(b)
    #expect(flush())
  }

  // MARK: Two flushes

  @Test(arguments: [true, false]) func ofTwoFlushesTheOneThatEndsFirstWaitsForTheOther(isSecondFirst: Bool) throws {
    write(a)
    let flushes = [tracker.beginFlush(), tracker.beginFlush()]
    let (early, late) = isSecondFirst ? (flushes[1], flushes[0]) : (flushes[0], flushes[1])
    guard case .undecided(let again) = tracker.endFlush(early, .succeeded) else {
      Issue.record("the other one may still fail")
      return
    }
    #expect(!isDurable(tracker.endFlush(late, .failed)))
    #expect(!isDurable(tracker.endFlush(again, .succeeded)))
    #expect(!flush(), "what both covered is lost")
    write(a)
    #expect(flush())
  }

  @Test func twoFlushesThatSucceedBothSaySo() {
    write(a)
    let flushes = [tracker.beginFlush(), tracker.beginFlush()]
    guard case .undecided(let again) = tracker.endFlush(flushes[0], .succeeded) else {
      Issue.record("the other one may still fail")
      return
    }
    // The second one has to wait for the first one's repetition, but not the other way round.
    guard case .undecided(let second) = tracker.endFlush(flushes[1], .succeeded) else {
      Issue.record("the repetition may still fail")
      return
    }
    #expect(isDurable(tracker.endFlush(again, .succeeded)))
    #expect(isDurable(tracker.endFlush(second, .succeeded)))
    #expect(!tracker.needsFlush)
  }

  // MARK: FUA

  @Test func aDurableWriteHealsWhatItCovers() {
    write(a)
    #expect(!flush(.failed))
    tracker.wroteDurably(a, submitted: tracker.epoch)
    #expect(flush())
  }

  @Test func aDurableWriteFromBeforeTheFailureHealsNothing() {
    write(a)
    let epoch = tracker.epoch
    #expect(!flush(.failed))
    tracker.wroteDurably(a, submitted: epoch)
    #expect(!flush())
  }

  @Test func aDurableWriteThatFailsIsAFailedFlush() {
    write(a)
    tracker.failedDurably(b)
    #expect(!flush())
    write(a)
    #expect(!flush(), "its own range is lost as well")
    tracker.wroteDurably(b, submitted: tracker.epoch)
    #expect(flush())
  }

  // MARK: Bounds

  /// More places than there is room for: coarser, and nothing is forgotten.
  @Test func manyPlacesAreAllLost() {
    let places = (0..<UInt64(3 * ByteRanges.most)).map { $0 * 8192..<$0 * 8192 + 512 }
    for place in places { write(place) }
    #expect(!flush(.failed))
    for place in places where place != places[7777] { write(place) }
    #expect(!flush())
    write(0..<UInt64(places.count) * 8192)
    #expect(flush())
  }

  /// Where the log was joined while a flush ran, the flush makes nothing durable.
  @Test func aFlushDoesNotCoverWhatWasJoinedMeanwhile() {
    write(a)
    let first = tracker.beginFlush()
    for place in 1...UInt64(ByteRanges.most) { write(place * 8192..<place * 8192 + 512) }
    #expect(isDurable(tracker.endFlush(first, .succeeded)))
    #expect(!flush(.failed))
    write(8192..<UInt64(ByteRanges.most + 1) * 8192)
    #expect(!flush(), "the first range counts as written after the flush")
    write(0..<8192)
    #expect(flush())
  }
}
