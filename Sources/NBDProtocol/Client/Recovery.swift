/// When, and where, to connect again: the decisions, without I/O and without a clock.
///
/// Events go in with the time at which they happened, in nanoseconds; ``next(at:)`` says what is to be done. The backoff doubles from
/// 0.1 s to 1 s in the first minute, and to 5 s after it, with jitter, so that many clients of a server that comes back do
/// not come at once. It begins anew only when a connection was of use: a server that accepts, negotiates and hangs up is tried
/// no faster for that.
///
/// Several ways to one export (``ways``) are tried one after the other, beginning with the one after that which was lost. One carries
/// requests at a time: while any connection lives, others join it on its way only.
package struct Recovery {
  /// What to do about lost connections.
  package enum Step: Hashable, Sendable {
    /// Nothing, before another event.
    case rest
    /// Nothing, before that time.
    case wait(until: UInt64)
    /// Connect, on the way of that number.
    case connect(way: Int)
    /// Give up: for so many nanoseconds there was no connection.
    case giveUp(after: UInt64)
  }

  private static let second: UInt64 = 1_000_000_000
  private static let firstDelay = second / 10
  private static let patientAfter = 60 * second
  /// Longest time on a connection, without an answer to what was asked, that counts as time without one.
  private static let longestSilence = 60 * second

  /// Nanoseconds without any connection after which it is given up; nil never.
  private let window: UInt64?
  private let ways: Int
  /// By connection: it lives.
  private var isAlive: [Bool]
  /// By connection: it was made after a loss.
  private var isNew: [Bool]
  private(set) package var way = 0
  /// Of the first attempt after a loss: the way that was lost is tried last.
  private var firstWay = 0
  private var attempts = 0
  private var nextAttempt: UInt64 = 0
  /// Since when attempts fail.
  private var failingSince: UInt64?
  /// Since when there is no connection at all.
  private var aloneSince: UInt64?
  /// Nanoseconds without a connection before the newest one was made, since one was last of use; and when that was made.
  private var aloneBefore: UInt64 = 0
  private var madeAt: UInt64 = 0
  private var hasGivenUp = false

  /// - Parameters:
  ///   - connections: how many there are, all of which live.
  ///   - ways: at least one.
  package init(connections: Int, ways: Int, window: UInt64?) {
    isAlive = Array(repeating: true, count: connections)
    isNew = Array(repeating: false, count: connections)
    self.ways = ways
    self.window = window
  }

  /// How many connections live.
  package var alive: Int { isAlive.count(where: { $0 }) }
  /// The connections that do not.
  package var lost: [Int] { isAlive.indices.filter { !isAlive[$0] } }

  /// A connection was lost.
  ///
  /// - Parameters:
  ///   - wasOfUse: its server had answered something.
  ///   - wasAsked: it was owing an answer. To whoever waits for that, a connection that was of no use was none.
  ///   - random: anything, for the jitter.
  package mutating func lose(
    _ connection: Int, wasOfUse: Bool, wasAsked: Bool = false, at now: UInt64, random: UInt64
  ) {
    guard isAlive[connection] else { return }
    isAlive[connection] = false
    if wasOfUse || !wasAsked || !isNew[connection] { aloneBefore = 0 }
    if alive == 0, aloneSince == nil {
      let silence = now - madeAt <= Self.longestSilence ? now - madeAt : 0
      aloneSince = aloneBefore == 0 ? now : now - min(aloneBefore + silence, now)
      firstWay = (way + 1) % ways
    }
    if isNew[connection], !wasOfUse { return failed(at: now, random: random) }
    attempts = 0
    failingSince = nil
    nextAttempt = now
  }

  /// An attempt has failed.
  package mutating func failed(at now: UInt64, random: UInt64) {
    let since = failingSince ?? now
    failingSince = since
    attempts += 1
    // All ways once, and then the wait.
    let ways = alive > 0 ? 1 : ways
    guard attempts % ways == 0 else { return }
    let most = now - since > Self.patientAfter ? 5 * Self.second : Self.second
    let delay = min(Self.firstDelay << UInt64(min(attempts / ways - 1, 10)), most)
    nextAttempt = now + delay - random % (delay / 4)
  }

  /// A connection was made, on the way that was asked for, and is `connection` now.
  package mutating func made(_ connection: Int, way: Int, at now: UInt64) {
    isAlive[connection] = true
    if let aloneSince {
      aloneBefore = now - aloneSince
      madeAt = now
    }
    isNew[connection] = true
    self.way = way
    aloneSince = nil
  }

  /// There was no connection for so long that it is given up.
  package func isExpired(at now: UInt64) -> Bool {
    guard let aloneSince, let window else { return false }
    return now - aloneSince >= window
  }

  package mutating func next(at now: UInt64) -> Step {
    guard alive < isAlive.count, !hasGivenUp else { return .rest }
    if isExpired(at: now) {
      hasGivenUp = true
      return .giveUp(after: now - (aloneSince ?? now))
    }
    guard now >= nextAttempt else {
      let end = aloneSince.flatMap { since in window.map { since + $0 } } ?? .max
      return .wait(until: min(nextAttempt, end))
    }
    return .connect(way: alive > 0 ? way : (firstWay + attempts) % ways)
  }
}
