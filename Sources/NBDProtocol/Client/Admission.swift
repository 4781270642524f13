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
  private static let mostDoublings = 5

  private let deadline: UInt64

  /// - Parameters:
  ///   - now: all reactors were stopped, in nanoseconds.
  ///   - attempts: that were put off before, in a row.
  init(stoppedAt now: UInt64, after attempts: Int = 0) { deadline = now + Self.doubled(Self.patience, after: attempts) }

  /// How long those that live may be kept waiting, who were for `patience` at first: twice as long each time, up to 32 times. Where
  /// everything is slow, one attempt has to take its time, or none ever succeeds.
  static func doubled(_ patience: UInt64, after attempts: Int) -> UInt64 { patience << UInt64(min(attempts, mostDoublings)) }

  /// - Parameter isQuiet: nothing is in flight on any connection, since the stop.
  func next(isQuiet: Bool, at now: UInt64) -> Step {
    if isQuiet { return .join }
    return now < deadline ? .wait(until: deadline) : .putOff
  }
}
