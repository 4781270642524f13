import Glibc

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
