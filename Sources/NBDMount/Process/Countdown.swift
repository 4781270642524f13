/// The time that is left of `time`, which begins now; sleeping machines do not use it up.
func countdown(_ time: Duration) -> () -> Duration {
  let end = SuspendingClock.now + time
  return { SuspendingClock.now.duration(to: end) }
}

extension Duration {
  /// For poll(2): milliseconds, rounded up, or the last part of one would be spent spinning; an hour at most.
  var pollTimeout: Int32 {
    let (seconds, attoseconds) = max(self, .zero).components
    return Int32(min(seconds, 3600) * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
  }
}
