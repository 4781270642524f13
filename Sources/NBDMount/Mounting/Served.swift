import CFuse3
import Glibc
import NBDProtocol

/// What is behind a mount: the connections, the file, and the engine between the two.
struct Served: Sendable {
  let mount: Mount
  let connections: ConnectionSet
  /// Signalled when the holes of the export were counted.
  let scan = Semaphore()
  private let configuration: MountConfiguration

  var isReadOnly: Bool { mount.file.layout.isReadOnly }

  init(
    _ configuration: MountConfiguration, _ mountpoint: Mountpoint, _ opened: [NegotiatedConnection]
  ) throws(NBDError) {
    self.configuration = configuration
    let options = configuration.fuse
    let export = opened[0].export
    let isReadOnly = configuration.isReadOnly || options.isReadOnly || export.isReadOnly
    let filename: String? = if case .directory(_, let filename) = mountpoint.shape { filename } else { nil }
    let layout = FileLayout(
      filename: filename, export: export, isReadOnly: isReadOnly, shared: options.checksPermissions,
      umask: mode_t(options.umask ?? 0), uid: options.userID ?? getuid(), gid: options.groupID ?? getgid())
    let file = ExportFile(
      export: export, layout: layout,
      cache: options.directIO ? .none : configuration.cache ?? (isReadOnly ? .writethrough : .writeback))
    connections = try ConnectionSet(opened)
    mount = Mount(
      file, .threads(try ThreadsEngine(file, connections)),
      Mount.Options(
        entryTimeout: options.entryTimeout ?? 3600, attributeTimeout: options.attributeTimeout ?? 1,
        maxBackground: options.maxBackground ?? 256, maxWrite: options.maxWrite ?? 0))
    try startScan()
  }

  /// Serves requests until the mount is gone. Blocks. Returns 0, or an errno.
  func serve(_ session: FuseSession) -> Int32 {
    session.loop(
      maxThreads: configuration.isSingleThreaded ? nil : configuration.fuse.maxThreads ?? 128,
      maxIdleThreads: configuration.fuse.maxIdleThreads, cloneDescriptor: configuration.fuse.cloneDescriptor)
  }

  /// Makes durable what was written and was not flushed yet. Blocks. Returns what went wrong.
  func flush() -> NBDError? {
    guard case .ask(let request, let operation) = mount.file.sync() else { return nil }
    let (outcome, _) = connections.run(operation)
    if case .reply(.success) = mount.file.proceed(request, outcome) { return nil }
    let reason = connections.failure.map { ": \($0)" } ?? (outcome.isSuccess ? "" : ": the server refused the flush")
    return .disconnected("what was written last may be lost\(reason)")
  }

  /// Counts the holes on a thread of its own: a server may be slow to say.
  private func startScan() throws(NBDError) {
    let map = mount.file.allocation
    guard let context = map.context, mount.file.export.size > 0 else { return scan.signal() }
    try POSIXThread.startDetached("the search for holes") { [connections, scan, size = mount.file.export.size] in
      var position: UInt64 = 0
      while position < size {
        let (outcome, extents) = connections.run(
          Operation(.blockStatus, offset: position, length: size - position, token: Token(.mailbox, 0)))
        guard outcome.isSuccess, let end = extents[context].last?.end, end > position else { break }
        map.add(extents[context])
        position = end
      }
      scan.signal()
    }
  }
}
