/// Decides whether a reactor that has nothing to do looks again at once, or sleeps.
///
/// Waking a thread that sleeps on an idle processor takes longer than a server on the same machine takes to answer, so
/// that it pays to look for a few microseconds more. It pays only where the answer does come in that time: so looking
/// goes on while it succeeds, and is given up, but for a try now and then, while it does not.
struct Pacer {
  /// Sleeps in a row without a try to poll.
  private static let triesApart = 32

  /// Commands in flight up to which looking pays.
  private static let largestLoad = 4

  /// Longest look in nanoseconds; 0 is none.
  private let budget: UInt64
  private var lastWork: UInt64 = 0
  private var isPolling = false
  private var misses = 0
  /// The largest load lately, in eighths of a command, fading from turn to turn: a batch of replies lowers the load for a
  /// moment only.
  private var peak = 0
  private var sleeps = 0

  init(busyPoll: UInt64) { budget = busyPoll }

  /// The last turn found something to do.
  ///
  /// - Parameter load: commands in flight.
  @inline(__always)
  mutating func worked(load: Int) {
    peak = max(load * 8, peak - (peak + 7) / 8)
    if isPolling {
      misses = 0
      isPolling = false
    }
    lastWork = 0
  }

  /// More is in flight than looking pays for.
  @inline(__always)
  var isCrowded: Bool { peak > Self.largestLoad * 8 }

  /// The last turn found nothing. Whether to look again instead of sleeping.
  ///
  /// With many commands in flight the processors are busy as it is, and looking would take time from those who are to
  /// answer.
  mutating func shouldPoll() -> Bool {
    guard budget > 0, !isCrowded else { return false }
    if misses >= 4, sleeps < Self.triesApart { return false }
    let now = MonotonicClock.now
    if lastWork == 0 {
      lastWork = now
      isPolling = true
      return true
    }
    guard isPolling, now - lastWork < budget else {
      isPolling = false
      misses = min(misses + 1, 4)
      sleeps = 0
      return false
    }
    return true
  }

  /// It has slept.
  mutating func woke() { sleeps += 1 }
}
