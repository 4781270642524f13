import Glibc

/// A moment on the monotonic clock (`CLOCK_MONOTONIC`, the clock of timerfd), by which something must be done.
///
/// A moment, not a duration: a wait that a signal interrupts goes on with what is left, so a storm of signals
/// cannot prolong it.
public struct Deadline: Hashable, Comparable, Sendable {
  /// Nanoseconds since the clock's zero; `UInt64.max` is ``never``.
  let nanoseconds: UInt64

  /// No deadline: wait for ever.
  public static let never = Deadline(nanoseconds: .max)

  /// That many milliseconds from now. Negative means now; too large to count means ``never``.
  public static func after(milliseconds: Int) -> Deadline {
    let (duration, tooLong) = UInt64(max(0, milliseconds)).multipliedReportingOverflow(by: 1_000_000)
    let (moment, tooLate) = MonotonicClock.now.addingReportingOverflow(duration)
    return tooLong || tooLate ? .never : Deadline(nanoseconds: moment)
  }

  public static func < (left: Deadline, right: Deadline) -> Bool { left.nanoseconds < right.nanoseconds }

  public var hasPassed: Bool { remaining == 0 }

  /// Nanoseconds left; 0 when it has passed, `nil` for ``never``.
  var remaining: UInt64? {
    guard self != .never else { return nil }
    let now = MonotonicClock.now
    return nanoseconds > now ? nanoseconds - now : 0
  }

  /// What a wait on `CLOCK_MONOTONIC` wants. Not for ``never``.
  var timespec: timespec {
    Glibc.timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }

  /// What `poll(2)` wants: milliseconds rounded up (rounding down would spin through the last one), -1 for ``never``.
  package var pollTimeout: Int32 {
    guard let remaining else { return -1 }
    return Int32(clamping: remaining / 1_000_000 + (remaining % 1_000_000 == 0 ? 0 : 1))
  }

  /// The earlier of this deadline and its share of the time left, for the first of `attempts` attempts that
  /// must all fit: one silent address must not use up the time of the next.
  func share(of attempts: Int) -> Deadline {
    guard let remaining, attempts > 1 else { return self }
    return Deadline(nanoseconds: nanoseconds - remaining + remaining / UInt64(attempts))
  }
}
