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

  /// Nanoseconds that the reactors may take to finish what they have.
  private static let patience: UInt64 = 1_000_000_000

  private let deadline: UInt64

  /// - Parameter now: all reactors were stopped, in nanoseconds.
  init(stoppedAt now: UInt64) { deadline = now + Self.patience }

  /// - Parameter isQuiet: nothing is in flight on any connection, since the stop.
  func next(isQuiet: Bool, at now: UInt64) -> Step {
    if isQuiet { return .join }
    return now < deadline ? .wait(until: deadline) : .putOff
  }
}
