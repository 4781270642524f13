import Glibc
import Synchronization

/// The clock that nobody sets (`CLOCK_MONOTONIC`).
package enum MonotonicClock {
  /// Nanoseconds since the clock's zero.
  package static var now: UInt64 {
    var time = timespec()
    // Cannot fail: the clock exists on every Linux and the pointer is good.
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// The clock that somebody goes by: the system's, or in a simulation one that is set.
package enum TimeSource: Sendable {
  case monotonic
  case settable(SettableClock)

  /// Nanoseconds since the clock's zero.
  package var now: UInt64 {
    switch self {
    case .monotonic: MonotonicClock.now
    case .settable(let clock): clock.now
    }
  }
}

/// A clock that stands still until it is set.
package final class SettableClock: Sendable {
  private let time = Atomic<UInt64>(0)

  package init() {}

  /// Nanoseconds.
  package var now: UInt64 {
    get { time.load(ordering: .relaxed) }
    set { time.store(newValue, ordering: .relaxed) }
  }
}
