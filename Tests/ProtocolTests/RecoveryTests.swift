import Testing

@testable import NBDProtocol

/// When and where to connect again (``Recovery``), by a clock of the test's own. RB rows: *Reconnect, the exact rules* 8 and 14.
struct RecoveryTests {
  private static let second: UInt64 = 1_000_000_000
  private static let millisecond: UInt64 = 1_000_000

  /// The times of failing attempts from 0 on, in milliseconds, until `end` seconds.
  private func attempts(_ recovery: inout Recovery, until end: UInt64, random: UInt64 = 0) -> [(time: UInt64, way: Int)] {
    var result: [(UInt64, Int)] = []
    var now: UInt64 = 0
    while now <= end * Self.second {
      switch recovery.next(at: now) {
      case .connect(let way):
        result.append((now / Self.millisecond, way))
        recovery.failed(at: now, random: random)
      case .wait(let until):
        #expect(until > now, "a wait that is over is no wait")
        now = until
      case .rest, .giveUp: return result
      }
    }
    return result
  }

  @Test func nothingIsDoneWhileAllLive() {
    var recovery = Recovery(connections: 2, ways: 1, window: 120 * Self.second)
    #expect(recovery.next(at: 0) == .rest)
  }

  // Rule 8
  @Test func theFirstAttemptIsAtOnceAndTheOthersWaitTwiceAsLongEachTime() {
    var recovery = Recovery(connections: 1, ways: 1, window: nil)
    recovery.lose(0, wasOfUse: true, at: 0, random: 0)
    let times = attempts(&recovery, until: 5).map(\.time)
    #expect(times == [0, 100, 300, 700, 1500, 2500, 3500, 4500])
  }

  // Rule 8: at most 1 s after the server listens again, for outages up to a minute.
  @Test func attemptsOfTheFirstMinuteAreASecondApartAtMostAndThenFive() {
    var recovery = Recovery(connections: 1, ways: 1, window: nil)
    recovery.lose(0, wasOfUse: true, at: 0, random: 0)
    let times = attempts(&recovery, until: 120).map(\.time)
    let gaps = zip(times, times.dropFirst()).map { (at: $0, gap: $1 - $0) }
    #expect(gaps.allSatisfy { $0.at > 60_000 || $0.gap <= 1000 })
    #expect(gaps.contains { $0.gap == 5000 } && gaps.allSatisfy { $0.gap <= 5000 })
  }

  @Test func jitterMakesAWaitShorterByAQuarterAtMost() {
    for random in [0, 1, 12_345_678_901, UInt64.max] {
      var recovery = Recovery(connections: 1, ways: 1, window: nil)
      recovery.lose(0, wasOfUse: true, at: 0, random: random)
      let times = attempts(&recovery, until: 5, random: random).map(\.time)
      for (gap, most) in zip(zip(times, times.dropFirst()).map { $1 - $0 }, [100, 200, 400, 800, 1000, 1000] as [UInt64]) {
        #expect(gap <= most && gap >= most * 3 / 4 - 1, "\(gap) of \(most)")
      }
    }
  }

  @Test func theWindowEndsInGivingUpOnceAndIsCountedFromTheLossOfTheLastConnection() {
    var recovery = Recovery(connections: 2, ways: 1, window: 3 * Self.second)
    recovery.lose(0, wasOfUse: true, at: 0, random: 0)
    recovery.failed(at: 0, random: 0)
    #expect(recovery.next(at: 100 * Self.second) == .connect(way: 0), "one lives")
    recovery.lose(1, wasOfUse: true, at: 100 * Self.second, random: 0)
    recovery.failed(at: 100 * Self.second, random: 0)
    guard case .wait = recovery.next(at: 100 * Self.second) else {
      Issue.record("no wait")
      return
    }
    #expect(recovery.next(at: 103 * Self.second) == .giveUp(after: 3 * Self.second))
    #expect(recovery.next(at: 104 * Self.second) == .rest)
  }

  @Test func noWindowMeansNoAttempt() {
    var recovery = Recovery(connections: 1, ways: 1, window: 0)
    recovery.lose(0, wasOfUse: true, at: 5, random: 0)
    #expect(recovery.next(at: 5) == .giveUp(after: 0))
  }

  // A server that accepts, negotiates and hangs up is tried no faster for that.
  @Test func aConnectionThatWasOfNoUseCountsAsAFailure() {
    var recovery = Recovery(connections: 1, ways: 1, window: nil)
    recovery.lose(0, wasOfUse: true, at: 0, random: 0)
    for _ in 0..<3 {
      recovery.made(0, way: 0, at: 0)
      recovery.lose(0, wasOfUse: false, at: 0, random: 0)
    }
    #expect(recovery.next(at: 0) == .wait(until: 400 * Self.millisecond))
    recovery.made(0, way: 0, at: 0)
    recovery.lose(0, wasOfUse: true, at: Self.second, random: 0)
    #expect(recovery.next(at: Self.second) == .connect(way: 0))
  }

  /// What is done about a connection that is lost again `connected` after it was made, for ever, until it is given up or an hour is over.
  private func flap(connected: UInt64, wasAsked: Bool) -> UInt64? {
    var recovery = Recovery(connections: 1, ways: 1, window: 120 * Self.second)
    recovery.lose(0, wasOfUse: true, at: 0, random: 0)
    var now: UInt64 = 0
    while now < 3600 * Self.second {
      switch recovery.next(at: now) {
      case .connect:
        recovery.made(0, way: 0, at: now)
        now += connected
        recovery.lose(0, wasOfUse: false, wasAsked: wasAsked, at: now, random: 0)
      case .wait(let until): now = until
      case .giveUp: return now / Self.second
      case .rest: return nil
      }
    }
    return nil
  }

  // A server that negotiates and then answers nothing is as good as none to whoever waits.
  @Test(arguments: [0, 1, 10]) func aServerThatNeverAnswersIsGivenUpWithTheWindow(seconds: UInt64) throws {
    let end = try #require(flap(connected: seconds * Self.second, wasAsked: true))
    #expect((120...140).contains(end), "\(end) s")
  }

  // Nobody has waited.
  @Test(arguments: [1, 30, 100]) func aConnectionThatIsLostWhileNobodyAsksIsNoLostTime(seconds: UInt64) {
    #expect(flap(connected: seconds * Self.second, wasAsked: false) == nil)
  }

  // An idle hour before the first request is not waiting.
  @Test func theTimeOfAnIdleConnectionDoesNotCount() {
    var recovery = Recovery(connections: 1, ways: 1, window: 120 * Self.second)
    recovery.lose(0, wasOfUse: true, at: 0, random: 0)
    recovery.made(0, way: 0, at: 5 * Self.second)
    recovery.lose(0, wasOfUse: false, wasAsked: true, at: 3600 * Self.second, random: 0)
    guard case .wait = recovery.next(at: 3600 * Self.second) else {
      Issue.record("\(recovery.next(at: 3600 * Self.second))")
      return
    }
  }

  // Connections that nobody had used yet were made well all the same.
  @Test func idleConnectionsThatAreLostTogetherAreNoFailures() {
    var recovery = Recovery(connections: 4, ways: 1, window: nil)
    for index in 0..<4 { recovery.lose(index, wasOfUse: false, at: 0, random: 0) }
    #expect(recovery.next(at: 0) == .connect(way: 0) && recovery.alive == 0)
  }

  // Rule 14: the next way first, the same one after it; the wait comes when all have failed.
  @Test func otherWaysAreTriedInTurnBeginningWithTheNext() {
    var recovery = Recovery(connections: 1, ways: 3, window: nil)
    recovery.lose(0, wasOfUse: true, at: 0, random: 0)
    let tries = attempts(&recovery, until: 1)
    #expect(tries.map(\.way).prefix(6) == [1, 2, 0, 1, 2, 0])
    #expect(tries.map(\.time).prefix(6) == [0, 0, 0, 100, 100, 100])
  }

  // Rule 14: one way at a time.
  @Test func connectionsJoinThoseThatLiveOnTheirWay() {
    var recovery = Recovery(connections: 2, ways: 2, window: nil)
    recovery.lose(0, wasOfUse: true, at: 0, random: 0)
    #expect(recovery.next(at: 0) == .connect(way: 0))
    recovery.lose(1, wasOfUse: true, at: 0, random: 0)
    #expect(recovery.next(at: 0) == .connect(way: 1))
    recovery.made(0, way: 1, at: 0)
    #expect(recovery.next(at: 0) == .connect(way: 1) && recovery.lost == [1])
    recovery.failed(at: 0, random: 0)
    #expect(recovery.next(at: Self.second) == .connect(way: 1), "the other one lives")
  }
}
