import NBDProtocol

/// The wait for a server at the end of a mount: as long as it is not silent for too long.
struct Patience {
  private let connections: ConnectionSet
  private var traffic: UInt64
  /// When traffic was last seen.
  private var since = SuspendingClock.now
  private let goesOn: () -> Void
  private var told = SuspendingClock.now

  /// - Parameter goesOn: called by ``remaining()``, every ``Deadlines/report`` of a long wait in which the server answers.
  init(_ connections: ConnectionSet, goesOn: @escaping () -> Void) {
    self.connections = connections
    self.goesOn = goesOn
    traffic = connections.traffic
  }

  /// The time that is left, if nothing moves from now on.
  mutating func remaining() -> Duration {
    let now = SuspendingClock.now
    let traffic = connections.traffic
    if traffic != self.traffic {
      self.traffic = traffic
      since = now
      if now - told > Deadlines.report {
        told = now
        goesOn()
      }
    }
    return Deadlines.silence - (now - since)
  }
}
