import NBDProtocol

/// Says, once for each connection, that it was lost: errors that programs see have their cause on standard error.
struct LostConnections {
  private let connections: ConnectionSet
  private var reported = 0

  init(_ connections: ConnectionSet) { self.connections = connections }

  mutating func report() {
    let all = connections.reactors.count
    let lost = all - connections.reactors.count(where: \.isAlive)
    guard lost > reported else { return }
    reported = lost
    let reason = connections.failure.map { ": \($0)" } ?? ""
    Diagnostics.warning(
      lost < all
        ? "\(lost) of \(all) connections to the server are lost, the others go on\(reason)"
        : "the connection to the server is lost, and every access that needs it fails\(reason)")
  }
}
