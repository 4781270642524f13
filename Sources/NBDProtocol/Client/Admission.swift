/// When a new connection may join the others of its export: the decision, without I/O and without a clock.
///
///     stop all ──> wait until they are quiet ──> send the write log again ──> give it to a reactor ──> go on
///                              └── too long: the connection is put off ───────────────────────────────┘
struct Admission {
  enum Step: Hashable {
    /// Nothing, before the reactors are quiet or that time has come.
    case wait(until: UInt64)
    /// Nothing runs that could meet what is sent again.
    case join
    /// One that lives is slow, and nobody begins anything meanwhile: give this connection up.
    case putOff
  }

  /// Nanoseconds that the reactors may take to finish what they have, at first.
  private static let patience: UInt64 = 1_000_000_000
  /// How often that is doubled: to half a minute.
  private static let mostDoublings = 5

  private let deadline: UInt64

  /// - Parameters:
  ///   - now: all reactors were stopped, in nanoseconds.
  ///   - attempts: that were put off before, in a row: where everything is slow, one has to wait for longer some time.
  init(stoppedAt now: UInt64, after attempts: Int = 0) { deadline = now + Self.patience << UInt64(min(attempts, Self.mostDoublings)) }

  /// - Parameter isQuiet: nothing is in flight on any connection, since the stop.
  func next(isQuiet: Bool, at now: UInt64) -> Step {
    if isQuiet { return .join }
    return now < deadline ? .wait(until: deadline) : .putOff
  }
}
