import CFuse3
import Glibc
import NBDProtocol
import Synchronization
import SystemPackage

/// One FUSE mount, from `fuse_session_new(3)` to `fuse_session_destroy(3)`.
///
/// Sendable because libfuse's session may be used from several threads, and the pointer does not change.
final class FuseSession: @unchecked Sendable {
  private let session: OpaquePointer
  /// Held for the callbacks, which know it by its address only.
  private let mount: Unmanaged<Mount>
  private let isMounted = Mutex(false)

  /// - Parameter arguments: as ``FuseOptions/sessionArguments(source:readOnly:debug:)`` makes them.
  /// - Throws: ``NBDError/invalidArgument(_:)`` where libfuse does not accept them; it has said why.
  init(_ mount: Mount, arguments: [String]) throws(NBDError) {
    LibfuseLog.install()
    var list = fuse_args()
    for argument in arguments { fuse_opt_add_arg(&list, argument) }
    defer { fuse_opt_free_args(&list) }
    var table = FuseOperations.table()
    let held = Unmanaged.passRetained(mount)
    guard let session = cfuse_session_new(&list, &table, held.toOpaque()) else {
      held.release()
      throw .invalidArgument(LibfuseLog.take() ?? "libfuse does not accept the mount options")
    }
    self.mount = held
    self.session = session
  }

  deinit {
    unmount()
    fuse_session_destroy(session)
    mount.release()
  }

  /// Mounts at `path`, an existing directory or regular file.
  func mount(at path: String) throws(NBDError) {
    // libfuse's own words for this would not be one line.
    if access("/dev/fuse", F_OK) != 0 {
      throw .invalidArgument("there is no /dev/fuse: the kernel's FUSE support is missing, or this container hides it")
    }
    guard fuse_session_mount(session, path) == 0 else {
      throw .invalidArgument(LibfuseLog.take() ?? "cannot mount at \(path)")
    }
    isMounted.withLock { $0 = true }
  }

  /// Detaches the mount, if it is still there. Harmless the second time.
  func unmount() {
    let wasMounted = isMounted.withLock { mounted in
      defer { mounted = false }
      return mounted
    }
    if wasMounted { fuse_session_unmount(session) }
  }

  /// The kernel still has the mount: it was neither unmounted by all who had it nor aborted. Until ``unmount()``, from any thread.
  var isConnected: Bool {
    // POLLERR needs no asking for.
    var device = pollfd(fd: fuse_session_fd(session), events: 0, revents: 0)
    return poll(&device, 1, 0) == 0 && device.fd >= 0
  }

  /// Reads requests and has worker threads carry them out, until the mount is gone. Blocks. Returns 0, or an errno.
  ///
  /// - Parameter maxThreads: workers; nil has one thread do all.
  func loop(maxThreads: UInt32?, maxIdleThreads: UInt32?, cloneDescriptor: Bool) -> Int32 {
    guard let maxThreads else { return abs(fuse_session_loop(session)) }
    guard let config = fuse_loop_cfg_create() else { return ENOMEM }
    defer { fuse_loop_cfg_destroy(config) }
    fuse_loop_cfg_set_max_threads(config, maxThreads)
    if let maxIdleThreads { fuse_loop_cfg_set_idle_threads(config, maxIdleThreads) }
    fuse_loop_cfg_set_clone_fd(config, cloneDescriptor ? 1 : 0)
    return abs(cfuse_session_loop_mt(session, config))
  }

  // MARK: For the reactor engine

  /// Has libfuse answer through the device of the thread's own source, and carries out the first request, with which the
  /// kernel and we agree on how to talk. Only then may the device be cloned.
  func begin() throws(NBDError) {
    var io = fuse_custom_io()
    io.writev = { device, vectors, count, _ in writev(FuseSource.current?.descriptor ?? device, vectors, count) }
    io.read = { device, buffer, size, _ in read(device, buffer, size) }
    guard cfuse_session_custom_io(session, &io, fuse_session_fd(session)) == 0 else {
      throw .invalidArgument("libfuse does not take the reactor engine's input and output")
    }
    var buffer = fuse_buf()
    defer { free(buffer.mem) }
    let size = fuse_session_receive_buf(session, &buffer)
    guard size > 0 else {
      throw .system(Errno(rawValue: Int32(clamping: -size)), doing: "cannot read the kernel's first request")
    }
    fuse_session_process_buf(session, &buffer)
  }

  /// Another descriptor for the mount's requests, with a queue of its own for those that are being answered
  /// (`FUSE_DEV_IOC_CLONE`).
  func clone() throws(NBDError) -> OwnedDescriptor {
    let device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK)
    guard device >= 0 else { throw .system(Errno(rawValue: errno), doing: "cannot open /dev/fuse again") }
    let clone = OwnedDescriptor(device)
    guard cfuse_clone_device(device, UInt32(fuse_session_fd(session))) == 0 else {
      throw .system(Errno(rawValue: errno), doing: "cannot clone /dev/fuse")
    }
    return clone
  }

  /// Carries out one request. On the thread of a reactor.
  func process(_ buffer: inout fuse_buf) { fuse_session_process_buf(session, &buffer) }
}

/// What libfuse says, in our own form: to standard error, and kept for the error that it explains.
private enum LibfuseLog {
  private static let last = Mutex<String?>(nil)

  static func install() {
    fuse_set_log_func { level, format, arguments in
      guard let format, let arguments else { return }
      var buffer = [CChar](repeating: 0, count: 1024)
      vsnprintf(&buffer, buffer.count, format, arguments)
      let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      var text = String(decoding: bytes, as: UTF8.self)
      while text.last?.isNewline == true { text.removeLast() }
      if text.hasPrefix("fuse: ") { text.removeFirst(6) }
      guard !text.isEmpty else { return }
      if level.rawValue <= FUSE_LOG_ERR.rawValue {
        LibfuseLog.last.withLock { $0 = text }
      } else {
        Diagnostics.note("libfuse: \(text)")
      }
    }
  }

  /// The last error that libfuse reported, once.
  static func take() -> String? {
    last.withLock { last in
      defer { last = nil }
      return last
    }
  }
}
