import CFuse3
import Glibc
import NBDProtocol

/// What is behind a mount: the connections, the file, and the engine between the two.
struct MountedExport: Sendable {
  /// Microseconds for which a reactor looks for more work before it sleeps.
  private static let defaultBusyPoll = 50

  let connections: ConnectionSet
  let session: FuseSession
  /// Signalled when the holes of the export were counted.
  let scan = Semaphore()
  private let end: EndOfService
  private let handler: RequestHandler
  private let configuration: MountConfiguration

  var file: ExportFile { handler.file }
  var prefetcher: Prefetcher { handler.prefetcher }

  /// Mounts, and starts to answer. Everything that may fail has been tried when this returns, and nothing is left
  /// mounted where it throws.
  ///
  /// - Parameters:
  ///   - end: told when the engine ends.
  ///   - ways: to the export, the first being that of `opened`.
  ///   - report: told what happens to the connections.
  init(
    _ configuration: MountConfiguration, _ mountpoint: Mountpoint, _ opened: [NegotiatedConnection], _ end: EndOfService,
    ways: [Opener], report: @escaping @Sendable (LinkEvent) -> Void
  ) throws(NBDError) {
    self.configuration = configuration
    self.end = end
    let file = Self.file(configuration, mountpoint, opened[0].export)
    let options = configuration.fuse
    let (largestRequest, backgroundRequests) =
      switch configuration.engine {
      case .threads:
        (ThreadsEngine.largestRequest, ThreadsEngine.backgroundRequests(options.maxBackground, workers: Self.workers(configuration)))
      case .reactor:
        (ReactorEngine.largestRequest(reactors: opened.count), options.maxBackground ?? ReactorEngine.backgroundRequests)
      }
    let mountOptions = RequestHandler.Options(
      entryTimeout: options.entryTimeout ?? 3600, attributeTimeout: options.attributeTimeout ?? 1,
      maxBackground: backgroundRequests, maxRead: options.maxRead ?? 0,
      maxWrite: min(options.maxWrite ?? largestRequest, largestRequest), keepsCache: options.kernelCache,
      prefetch: configuration.readAhead ?? 0)
    let arguments = options.sessionArguments(
      source: configuration.server.mountSource(exportName: configuration.exportName),
      readOnly: file.layout.isReadOnly, debug: configuration.debugsFuse)

    var reconnecting = ConnectionSet.Reconnecting()
    reconnecting.ways = ways
    reconnecting.window = configuration.patience.reconnecting.nanoseconds
    reconnecting.isReadOnly = file.layout.isReadOnly
    reconnecting.report = report
    try reconnecting.keepLog(of: configuration.patience.writeLog, for: opened[0].export)
    let timing = Self.timing(configuration)
    switch configuration.engine {
    case .threads:
      connections = try ConnectionSet(opened, timing, reconnecting)
      do throws(NBDError) {
        handler = RequestHandler(file, .threads(ThreadsEngine(file, connections)), mountOptions)
        session = try FuseSession(handler, arguments: arguments)
        try session.mount(at: mountpoint.path)
      } catch {
        connections.stop()
        throw error
      }
    case .reactor:
      let engine = ReactorEngine(
        reactors: opened.count, isDebugging: configuration.debugsFuse || configuration.fuse.debug, end)
      let handler = RequestHandler(file, .reactor(engine), mountOptions)
      let session = try FuseSession(handler, arguments: arguments)
      try session.mount(at: mountpoint.path)
      var made: [FuseSource] = []
      for _ in opened { made.append(try engine.makeSource(session.clone(), handler, reconnecting.log)) }
      // SAFETY: each is used by its reactor's thread alone, from here on.
      nonisolated(unsafe) let sources = made
      connections = try ConnectionSet(opened, timing, reconnecting) { index in
        sources[index].bindToThread()
        return sources[index]
      }
      self.handler = handler
      self.session = session
    }
    // Programs get a number; who looks after the server wants its words.
    for reactor in connections.reactors { reactor.reportErrors { Diagnostics.warning("\($0)") } }
    do throws(NBDError) {
      if case .threads = configuration.engine { try startWorkers() }
      try startScan()
    } catch {
      session.unmount()
      connections.stop()
      throw error
    }
  }

  private static func file(_ configuration: MountConfiguration, _ mountpoint: Mountpoint, _ export: Export) -> ExportFile {
    let options = configuration.fuse
    let isReadOnly = configuration.isReadOnly || options.isReadOnly || export.isReadOnly
    let filename: String? = if case .directory(_, let filename) = mountpoint.shape { filename } else { nil }
    let layout = FileLayout(
      filename: filename, export: export, isReadOnly: isReadOnly, shared: options.checksPermissions,
      umask: mode_t(options.umask ?? 0), uid: options.userID ?? getuid(), gid: options.groupID ?? getgid())
    let wanted = options.directIO ? .none : configuration.cache ?? .writeback
    // Nothing is written to a read-only mount, and its size needs no keeping.
    let cache = isReadOnly && wanted == .writeback ? .writethrough : wanted
    return ExportFile(export: export, layout: layout, cache: cache)
  }

  private static func timing(_ configuration: MountConfiguration) -> Reactor.Timing {
    var timing = Reactor.Timing()
    // On one processor looking would only keep those from working who are looked for.
    let processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    timing.busyPoll = processors > 1 ? configuration.busyPollMicroseconds ?? defaultBusyPoll : 0
    timing.answer = configuration.patience.answer.nanoseconds
    if let quiesce = configuration.patience.quiesce.nanoseconds { timing.quiesce = quiesce }
    return timing
  }

  /// Threads of the threads engine.
  private static func workers(_ configuration: MountConfiguration) -> UInt32 {
    configuration.isSingleThreaded ? 1 : configuration.fuse.maxThreads ?? ThreadsEngine.workers
  }

  /// Starts libfuse's worker threads, for the threads engine.
  private func startWorkers() throws(NBDError) {
    let options = configuration.fuse
    let most = configuration.isSingleThreaded ? nil : Self.workers(configuration)
    try POSIXThread.startDetached("the FUSE workers") { [session, end] in
      end.signal(
        session.loop(maxThreads: most, maxIdleThreads: options.maxIdleThreads, cloneDescriptor: options.cloneDescriptor))
    }
  }

  /// Makes durable what was written and was not flushed yet. Blocks. Returns what went wrong.
  func flush() -> NBDError? {
    var step = file.sync()
    var isAnswered = true
    while case .ask(let request, let operation) = step {
      let (outcome, extents) = connections.run(operation)
      isAnswered = outcome.isSuccess
      step = file.proceed(request, outcome, extents)
    }
    if case .reply(.success) = step { return nil }
    return connections.failure ?? .disconnected(isAnswered ? "an earlier flush failed" : "the server refused the flush")
  }

  /// Counts the holes on a thread of its own: a server may be slow to say.
  private func startScan() throws(NBDError) {
    guard let questions = HoleScan(file.allocation, size: file.layout.size) else { return scan.signal() }
    try POSIXThread.startDetached("the search for holes") { [connections, scan] in
      var search = questions
      while let question = search.next() {
        let (outcome, extents) = connections.run(question)
        search.take(outcome, extents)
      }
      scan.signal()
    }
  }
}
