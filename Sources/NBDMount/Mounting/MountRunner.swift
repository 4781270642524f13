import Glibc
import NBDProtocol

/// One mount from its beginning to its end: connect, mount, serve, unmount, flush, disconnect.
///
/// The order is what matters. Everything that can be wrong is found before anything is mounted; and nothing that was
/// written is given up before the server has been asked to keep it.
struct MountRunner {
  let configuration: MountConfiguration
  /// Who is to serve the mount, where that is not who makes it.
  let drop: PrivilegeDrop?

  /// - Returns: the exit status: 0 when the mount ended and nothing is known to be lost.
  /// - Throws: why there is no mount. Nothing is left behind then.
  func run(_ readiness: Readiness) throws(NBDError) -> Int32 {
    let termination = try Termination()
    let mountpoint = try Mountpoint(configuration.mountpoint)
    if let stale = mountpoint.removedStaleMount { Diagnostics.note("removed the dead mount at \(stale)") }
    let server = try ServerTarget(configuration.server, exportName: configuration.exportName, configuration.tls)
    let endpoint = try termination.making(undo: Self.endImpatiently) { () throws(NBDError) in
      try server.endpoint(servedBy: drop?.identity)
    }
    defer { endpoint.shutdown() }
    let others = try configuration.failover.map { uri throws(NBDError) in
      let other = try ServerTarget(.uri(uri), exportName: nil, configuration.tls)
      let way = Opener(try other.endpoint(), other.request)
      try way.check(asWayBeside: endpoint)
      return way
    }
    for place in [endpoint] + others.map(\.endpoint) {
      if let warning = try drop?.warning(about: place.address) { Diagnostics.warning(warning) }
    }
    let ways = (endpoint.canReconnect ? [Opener(endpoint, server.request)] : []) + others
    termination.register { readiness.retract() }
    defer { readiness.retract() }

    let opened = try open(server, endpoint)
    OpeningReport.opened(opened, at: server.address)
    let end = try EndOfService()
    termination.becomesMounted { end.request() }
    let report = ConnectionReport(
      readiness: readiness, window: configuration.patience.reconnecting.nanoseconds.map { .nanoseconds($0) },
      ways: ways.map { "\($0.endpoint.address)" })
    let mounted = try MountedExport(
      configuration, mountpoint, opened.connections, end, ways: ways, report: { report($0) })
    let ending: Ending
    var monitor: PrivilegedMonitor?
    do throws(NBDError) {
      let places = try MountPlaces(
        at: mountpoint.path, file: mountpoint.fileBelow, size: mounted.file.layout.size, in: MountTable.current())
      if drop != nil { monitor = try PrivilegedMonitor(of: places, pidFile: configuration.pidFile.map(absolutePath)) }
      let control = MountControl(places: places, monitor: monitor)
      ending = try Ending(mounted, end, control)
      termination.register { ending.abandon() }
      try SizeKeeper.establish(mounted.file, control)
      try SizeKeeper.start(mounted.file, control)
      try tune(mounted, places, mountpoint)
      mounted.scan.wait(milliseconds: Int(Deadlines.holeScan.pollTimeout))
      try drop?.carryOut()
      try readiness.announce(configuration, monitor)
    } catch {
      // Which we may not be permitted to do any more. Of a mount that was aborted, the session only closes what it has.
      for action in [MountAction.detach, .abort] { _ = monitor?.carryOut(action, remaining: countdown(Deadlines.unmount)) }
      mounted.session.unmount()
      mounted.connections.stop()
      throw error
    }
    let cause = ending.wait()
    readiness.stopping()
    let outcome = ending.finish(cause) { readiness.stillStopping() }
    let status: Int32 = outcome.isGood ? 0 : 1
    if outcome.isForced {
      readiness.retract()
      endpoint.shutdown()
      // Threads may still wait for the kernel or for the server: no tidying up, the end.
      Diagnostics.end(status)
    }
    return status
  }

  /// Sets the read-ahead, or has a child read ahead where that is not permitted.
  private func tune(_ mounted: MountedExport, _ places: MountPlaces, _ mountpoint: Mountpoint) throws(NBDError) {
    guard !MountTuning(places.entry).apply(readAhead: configuration.readAhead), configuration.readAhead != nil else { return }
    guard drop == nil else {
      // The child would have to be the mount's owner.
      return Diagnostics.warning("cannot set the read-ahead, and with --drop-privileges nobody else can read ahead")
    }
    try mounted.prefetcher.start(path: mountpoint.exportPath)
  }

  private static func endImpatiently(_ endpoint: ServerEndpoint) {
    endpoint.shutdown(termMilliseconds: Int(Deadlines.impatientShutdown.pollTimeout))
  }

  private func open(_ server: ServerTarget, _ endpoint: ServerEndpoint) throws(NBDError) -> OpenedConnections {
    do throws(NBDError) {
      // One connection is one reactor, and so one thread.
      let wanted = configuration.isSingleThreaded && configuration.engine == .reactor ? 1 : configuration.connections
      return try Opener(endpoint, server.request).openAll(
        wanted: wanted, trying: .after(milliseconds: Int((configuration.patience.opening.nanoseconds ?? .max) / 1_000_000)))
    } catch {
      throw OpeningReport.explained(error, server.request, endpoint)
    }
  }
}
