import CFuse3
import Glibc
import NBDProtocol
import Synchronization
import SystemPackage

/// One libfuse session, from `fuse_session_new(3)` to `fuse_session_destroy(3)`: that of the mount, or that of a clone of its
/// device.
///
/// Theory of operation. A session knows what the kernel and we have agreed on in the first request, and answers on the one
/// descriptor that it has. The reactor engine wants to answer each request on the clone of `/dev/fuse` that it was read from;
/// so each clone has a session of its own, alike in all but the descriptor, because it is shown the same first request:
///
///     the mount's session       kernel        a clone's session
///           │──── mount(2) ──────>│
///           │<─── FUSE_INIT ──────│
///           │──── its answer ────>│
///           │─ FUSE_DEV_IOC_CLONE>│
///           │──── the same FUSE_INIT, kept ─────────>│
///           │                     │<── its answer ───│   dropped: ENOENT, nothing waits for it
///           │                     │─── FUSE_READ ───>│
///           │                     │<── its answer ───│
///
/// (`fuse_session_custom_io(3)`, which could redirect the answers of one session, is switched off in libfuse since 3.18.3.)
///
/// Sendable because libfuse's session may be used from several threads, and the pointer does not change.
final class FuseSession: @unchecked Sendable {
  private let session: OpaquePointer
  /// Held for the callbacks, which know it by its address only.
  private let handler: Unmanaged<RequestHandler>
  private let arguments: [String]
  private let isMounted = Mutex(false)
  /// The kernel's first request. Written by ``mount(at:)`` alone, before the session has any other user.
  private var first = fuse_buf()

  /// - Parameter arguments: as ``FuseOptions/sessionArguments(source:readOnly:debug:)`` makes them.
  /// - Throws: ``NBDError/invalidArgument(_:)`` where libfuse does not accept them.
  init(_ handler: RequestHandler, arguments: [String]) throws(NBDError) {
    LibfuseLog.install()
    var list = fuse_args()
    for argument in arguments { fuse_opt_add_arg(&list, argument) }
    defer { fuse_opt_free_args(&list) }
    var table = FuseOperations.table()
    var made: OpaquePointer?
    try LibfuseLog.calling(otherwise: "libfuse does not accept the mount options") {
      made = cfuse_session_new(&list, &table, Unmanaged.passUnretained(handler).toOpaque())
      return made != nil
    }
    guard let made else { throw .invalidArgument("libfuse made no session") }
    session = made
    self.handler = Unmanaged.passRetained(handler)
    self.arguments = arguments
  }

  deinit {
    unmount()
    // Closes the descriptor, too.
    fuse_session_destroy(session)
    handler.release()
    free(first.mem)
  }

  /// What requests are read from and answered on.
  var descriptor: Int32 { fuse_session_fd(session) }

  // MARK: The mount's session

  /// Mounts at `path`, an existing directory or regular file, and agrees with the kernel on how to talk. Nothing is left
  /// mounted where it throws.
  func mount(at path: String) throws(NBDError) {
    // libfuse's own words for this would not be one line.
    if access("/dev/fuse", F_OK) != 0 {
      throw .invalidArgument("there is no /dev/fuse: the kernel's FUSE support is missing, or this container hides it")
    }
    try LibfuseLog.calling(otherwise: "cannot mount at \(path)") { fuse_session_mount(session, path) == 0 }
    isMounted.withLock { $0 = true }
    do throws(NBDError) {
      try receiveFirst()
      try carryOut(first)
    } catch {
      unmount()
      throw error
    }
  }

  /// Detaches the mount, if it is still there. Harmless the second time, and for a clone's session.
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
    // -1 is a signal that came between, and says nothing.
    return device.fd >= 0 && poll(&device, 1, 0) <= 0
  }

  private func receiveFirst() throws(NBDError) {
    var size: Int32
    repeat { size = fuse_session_receive_buf(session, &first) } while size == -EINTR
    guard size > 0 else {
      throw .system(Errno(rawValue: Int32(clamping: -size)), doing: "cannot read the kernel's first request")
    }
  }

  /// Carries out a first request (`FUSE_INIT`). A session that does not agree with the kernel has exited after that.
  private func carryOut(_ first: fuse_buf) throws(NBDError) {
    try LibfuseLog.calling(otherwise: "libfuse and the kernel do not agree on how to talk") {
      withUnsafePointer(to: first) { fuse_session_process_buf(session, $0) }
      return fuse_session_exited(session) == 0
    }
  }

  /// Reads requests and has worker threads carry them out, until the mount is gone. Blocks. Returns 0, or an errno.
  ///
  /// libfuse leaves its loop for any failure to read a request, and the request that another worker has just read may go with
  /// that: so there is no way back into it.
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

  // MARK: A clone's session

  /// A session for another descriptor of this one's mount, which has a queue of its own for the requests that are being
  /// answered (`FUSE_DEV_IOC_CLONE`).
  func clone() throws(NBDError) -> FuseSession {
    let device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK)
    guard device >= 0 else { throw .system(Errno(rawValue: errno), doing: "cannot open /dev/fuse again") }
    let descriptor = OwnedDescriptor(device)
    guard cfuse_clone_device(device, UInt32(fuse_session_fd(session))) == 0 else {
      throw .system(Errno(rawValue: errno), doing: "cannot clone /dev/fuse")
    }
    let clone = try FuseSession(handler.takeUnretainedValue(), arguments: arguments)
    try clone.answer(on: descriptor)
    try clone.carryOut(first)
    return clone
  }

  /// A path of this form mounts nothing: the session takes the descriptor that it names, and owns it. It must not be unmounted,
  /// either: to libfuse since 3.18.3, the path would be a mount point.
  func answer(on device: consuming OwnedDescriptor) throws(NBDError) {
    let path = "/dev/fd/\(device.rawValue)"
    try LibfuseLog.calling(otherwise: "libfuse does not take a clone of the device") {
      fuse_session_mount(session, path) == 0
    }
    _ = device.release()
  }

  /// Carries out one request. On the thread of a reactor.
  func process(_ buffer: inout fuse_buf) { fuse_session_process_buf(session, &buffer) }
}
