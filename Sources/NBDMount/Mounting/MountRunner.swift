import Glibc
import NBDProtocol

/// One mount from its beginning to its end: connect, mount, serve, unmount, flush, disconnect.
///
/// The order is what matters. Everything that can be wrong is found before anything is mounted; and nothing that was
/// written is given up before the server has been asked to keep it.
struct MountRunner {
  let configuration: MountConfiguration

  /// - Returns: the exit status: 0 when the mount ended and nothing is known to be lost.
  /// - Throws: why there is no mount. Nothing is left behind then.
  func run(_ readiness: Readiness) throws(NBDError) -> Int32 {
    let termination = try Termination()
    let mountpoint = try Mountpoint(configuration.mountpoint)
    if let stale = mountpoint.removedStaleMount { Diagnostics.note("removed the dead mount at \(stale)") }
    let server = try ServerTarget(configuration)
    let endpoint = try termination.making(undo: Self.endImpatiently) { () throws(NBDError) in
      try ServerEndpoint(server.address)
    }
    defer { endpoint.shutdown() }
    let others = try server.others.map { other throws(NBDError) in Opener(try ServerEndpoint(other.address), other.request) }
    let ways = (endpoint.canReconnect ? [Opener(endpoint, server.request)] : []) + others
    termination.register { readiness.retract() }
    defer { readiness.retract() }

    let opened = try open(server, endpoint)
    OpeningReport.opened(opened, at: server.address)
    let end = try EndOfService()
    termination.becomesMounted { end.request() }
    let report = ConnectionReport(
      readiness: readiness, window: configuration.patience.reconnecting.nanoseconds.map { $0 / 1_000_000_000 },
      ways: ways.map { "\($0.endpoint.address)" })
    let mounted = try MountedExport(
      configuration, mountpoint, opened.connections, end, ways: ways, report: { report($0) })
    let ending: Ending
    do throws(NBDError) {
      let table = try MountTable.current()
      ending = try Ending(mounted, end, mountpoint, table)
      termination.register { ending.abandon() }
      try SizeKeeper.establish(mounted.file, path: mountpoint.exportPath)
      try SizeKeeper.start(mounted.file, path: mountpoint.exportPath)
      if let entry = table.mount(at: mountpoint.path), !MountTuning(entry).apply(readAhead: configuration.readAhead),
        configuration.readAhead != nil
      {
        try mounted.prefetcher.start(path: mountpoint.exportPath)
      }
      mounted.scan.wait(milliseconds: Int(Deadlines.holeScan.pollTimeout))
      try readiness.announce(configuration)
    } catch {
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

/// Where the server is and what to ask it for, from the command line.
private struct ServerTarget {
  let address: ServerAddress
  let request: HandshakeRequest
  /// The further ways to the same export.
  var others: [ServerTarget] = []

  private init(uri text: String, _ request: HandshakeRequest) throws(NBDError) {
    let uri = try NBDURI(text)
    if case .required = uri.tls {
      throw .unsupported("\(uri) requires TLS, and TLS is not supported yet")
    }
    address = uri.address
    var request = request
    request.exportName = uri.exportName
    self.request = request
  }

  private init(_ address: ServerAddress, _ request: HandshakeRequest) {
    self.address = address
    self.request = request
  }

  init(_ configuration: MountConfiguration) throws(NBDError) {
    let request = HandshakeRequest(exportName: configuration.exportName ?? "")
    switch configuration.server {
    case .uri(let text): self = try ServerTarget(uri: text, request)
    case .tcp(let host, let port): self = ServerTarget(.tcp(host: host, port: port), request)
    case .unix(let path): self = ServerTarget(.unix(path: Array(path.utf8)), request)
    case .vsock(let cid, let port): self = ServerTarget(.vsock(cid: cid, port: port), request)
    case .fd(let number): self = ServerTarget(.descriptor(number), request)
    case .command(let words): self = ServerTarget(.command(words), request)
    case .socketActivation(let words): self = ServerTarget(.socketActivation(words), request)
    }
    others = try configuration.failover.map { uri throws(NBDError) in try ServerTarget(uri: uri, request) }
  }
}
