import CFuse3
import Glibc
import Logging
import NBDProtocol
import Synchronization
import SystemPackage

/// One mount from its beginning to its end: connect, mount, serve, unmount, flush, disconnect.
///
/// The order is what matters. Everything that can be wrong is found before anything is mounted; and nothing that was
/// written is given up before the server has been asked to keep it.
struct MountRunner {
  /// How long the steps of ending may take.
  private enum Deadline {
    /// The last flush, and the disconnect after it, in milliseconds.
    static let flush = 30_000
    /// Looking for holes before the mount is declared ready, in milliseconds.
    static let scan = 250
  }

  let configuration: MountConfiguration

  /// - Returns: the exit status: 0 when the mount ended and nothing is known to be lost.
  /// - Throws: why there is no mount. Nothing is left behind then.
  func run(_ ready: Readiness) throws(NBDError) -> Int32 {
    let mountpoint = try Mountpoint(configuration.mountpoint)
    if let stale = mountpoint.removedStaleMount { Diagnostics.note("removed the dead mount at \(stale)") }
    let server = try ServerTarget(configuration)
    let endpoint = try ServerEndpoint(server.address)
    defer { endpoint.shutdown() }

    let connections = try open(server, endpoint)
    for note in connections[0].notes { Logger(label: "nbdmount").debug("\(note)") }
    let served = try Served(configuration, mountpoint, connections)
    let ending: Ending
    do throws(NBDError) {
      let table = try MountTable.current()
      ending = try Ending(mountpoint, table) { served.stop() }
      try ending.startTakingSignals()
      try SizeKeeper.establish(served.file, path: mountpoint.exportPath)
      try SizeKeeper.start(served.file, path: mountpoint.exportPath)
      if let entry = table.mount(at: mountpoint.path), !MountTuning(entry).apply(readAhead: configuration.readAhead),
        configuration.readAhead != nil
      {
        try served.prefetcher.start(path: mountpoint.exportPath)
      }
      served.scan.wait(milliseconds: Deadline.scan)
      try ready.announce(configuration)
    } catch {
      served.session.unmount()
      served.connections.stop()
      throw error
    }
    let result = served.waitForEnd()
    ready.retract()
    if ending.isForced {
      var status: Int32 = 1
      do throws(NBDError) {
        if !ending.hasLostData {
          try finish(served)
          status = 0
        }
      } catch { Diagnostics.error("\(error)") }
      endpoint.shutdown()
      // Threads may still wait for the kernel or for the server: no tidying up, the end.
      _exit(status)
    }
    served.session.unmount()
    try finish(served)
    if result != 0, result != ENODEV {
      throw .system(Errno(rawValue: result), doing: "serving the mount failed")
    }
    return ending.hasLostData ? 1 : 0
  }

  private func open(_ server: ServerTarget, _ endpoint: ServerEndpoint) throws(NBDError) -> [NegotiatedConnection] {
    do {
      // One connection is one reactor, and so one thread.
      let wanted = configuration.isSingleThreaded && configuration.engine == .reactor ? 1 : configuration.connections
      return try Opener(endpoint, server.request).openAll(wanted: wanted)
    } catch .refused(let option, .unknownExport, let message) {
      throw .refused(
        option: option, reply: .unknownExport, message: "export \"\(server.request.exportName)\": \(message)")
    }
  }

  /// After the last request: the last flush, and the soft disconnect.
  private func finish(_ served: Served) throws(NBDError) {
    let isDone = Semaphore()
    let failure = Mutex<NBDError?>(nil)
    try POSIXThread.startDetached("the last flush") {
      let error = served.flush()
      failure.withLock { $0 = error }
      served.connections.stop()
      isDone.signal()
    }
    guard isDone.wait(milliseconds: Deadline.flush) else {
      throw .timedOut("the server did not answer the last flush: what was written last may be lost")
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }
}

/// Where the server is and what to ask it for, from the command line.
private struct ServerTarget {
  let address: ServerAddress
  let request: HandshakeRequest

  init(_ configuration: MountConfiguration) throws(NBDError) {
    var request = HandshakeRequest(exportName: configuration.exportName ?? "")
    switch configuration.server {
    case .uri(let text):
      let uri = try NBDURI(text)
      if case .required = uri.tls {
        throw .unsupported("\(uri) requires TLS, and TLS is not supported yet")
      }
      address = uri.address
      request.exportName = uri.exportName
    case .tcp(let host, let port): address = .tcp(host: host, port: port)
    case .unix(let path): address = .unix(path: Array(path.utf8))
    case .vsock(let cid, let port): address = .vsock(cid: cid, port: port)
    case .fd(let number): address = .descriptor(number)
    case .command(let words): address = .command(words)
    case .socketActivation(let words): address = .socketActivation(words)
    }
    self.request = request
  }
}
