import NBDProtocol

/// The wait for a server at the end of a mount: as long as it is not silent for too long.
struct Patience {
  private let connections: ConnectionSet
  private var traffic: UInt64
  /// When traffic was last seen.
  private var since = SuspendingClock.now

  init(_ connections: ConnectionSet) {
    self.connections = connections
    traffic = connections.traffic
  }

  /// The time that is left, if nothing moves from now on.
  mutating func remaining() -> Duration {
    let now = SuspendingClock.now
    let traffic = connections.traffic
    if traffic != self.traffic {
      self.traffic = traffic
      since = now
    }
    return Deadlines.silence - (now - since)
  }
}
