import NBDProtocol

/// Says what happens to the connections of a mount, in a line each: on standard error, and to the service manager.
///
/// Errors that programs see have their cause here, and so has a pause without errors.
struct ConnectionReport: Sendable {
  let readiness: Readiness
  /// How long requests wait for a server; nil is for ever.
  let window: Duration?
  /// By number: where ``LinkEvent`` says that the server is now.
  let ways: [String]

  func callAsFunction(_ event: LinkEvent) {
    switch event {
    case .lost(let error, let alive, let count, let isWaiting):
      let rest = alive > 0 ? "\(count - alive) of \(count) connections to the server are lost, the others go on" : lastOne(isWaiting)
      say("\(rest): \(error)")
    case .connected(let alive, let count, let time, let way, let resent):
      let place = ways.count > 1 ? " at \(ways[way])" : ""
      let line = "connected to the server again\(place) after \(text(time))"
        + (resent > 0 ? ", and sent \(resent) writes again that it had answered" : "")
      switch alive {
      case 1: say(line)
      case count: say("\(line), with all \(count) connections")
      default: if resent > 0 { say(line) }
      }
    case .failed(let error, let time):
      say("there is no server any more, after \(text(time)), and every access that needs it fails: \(error)")
    case .attemptFailed(let error): Diagnostics.debug("connecting again failed: \(error)")
    }
  }

  private func lastOne(_ isWaiting: Bool) -> String {
    guard isWaiting else { return "the connection to the server is lost, and every access that needs it fails" }
    return "the connection to the server is lost, and every access that needs it waits"
      + (window.map { " for \(text($0))" } ?? "")
  }

  private func say(_ line: String) {
    Diagnostics.warning(line)
    readiness.status(line)
  }

  /// Seconds with one decimal place.
  private func text(_ time: Duration) -> String {
    let tenths = (time + .milliseconds(50)) / .milliseconds(100)
    return "\(Int(tenths) / 10).\(Int(tenths) % 10) s"
  }
}
