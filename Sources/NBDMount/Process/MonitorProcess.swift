import Glibc
import NBDProtocol
import Synchronization
import SystemPackage

/// The process behind ``PrivilegedMonitor``. Its socket is its standard input.
///
/// Who is at the other end is not trusted: whatever comes, it is one of the requests that there are, or ignored.
enum MonitorProcess {
  /// Requests at a time, and children that are stuck in the kernel at most: beyond that, requests fail.
  static let mostRequests = 8
  /// How long a child may take as far as we are concerned; who asked for it gives it up, or ends.
  private static let patience = Duration.seconds(3600)

  /// - Parameter words: number of the mount, the file below it, its size, and the pid file if there is one.
  static func serve(_ words: [String]) -> Never {
    // A service manager signals all processes of a service. This one is still needed then, and ends with the one that serves.
    for number in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ] { signal(number, SIG_IGN) }
    guard words.count >= 3, let mount = UInt64(words[0]), let size = UInt64(words[2]),
      let entry = try? MountTable.current().entries.first(where: { $0.id == mount }), entry.isFuse
    else { exit(Helper.failure) }
    var places = MountPlaces(entry, file: words[1], size: size)
    places.endsWithTheFirst = true
    chdir("/")
    serve(FileDescriptor.standardInput.rawValue, places, pidFile: words.count > 3 ? words[3] : nil, process: getppid())
    _exit(0)
  }

  /// Serves until the other end of `socket` closes.
  ///
  /// - Parameters:
  ///   - pidFile: absolute.
  ///   - process: who serves the mount, for the pid file.
  static func serve(_ socket: Int32, _ places: MountPlaces, pidFile: String?, process: pid_t) {
    let work = Work(socket, places, pidFile: pidFile, process)
    while true {
      // One byte more than a request has, so that a longer packet is seen to be one.
      var request = [UInt8](repeating: 0, count: MonitorMessage.requestSize + 1)
      let count = recv(socket, &request, request.count, 0)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      if count == MonitorMessage.requestSize { work.take(number: request[0], request[1]) }
    }
  }

  /// What is being done.
  private final class Work: Sendable {
    private struct State {
      /// Requests under way, and whether they were given up.
      var isCancelled: [UInt8: Bool] = [:]
      var pidFile: PIDFile?
      /// It was written, or tried to be, which is done once.
      var hasPIDFile = false
      /// The mount's root, once it was detached: the kernel gives its number to no other until it closes, with this process.
      var root: Int32?
    }
    private let state = Mutex(State())
    private let socket: Int32
    private let places: MountPlaces
    private let pidFile: String?
    private let process: pid_t

    init(_ socket: Int32, _ places: MountPlaces, pidFile: String?, _ process: pid_t) {
      self.socket = socket
      self.places = places
      self.pidFile = pidFile
      self.process = process
    }

    func take(number: UInt8, _ what: UInt8) {
      if what == MonitorMessage.cancel {
        return state.withLock { if $0.isCancelled.keys.contains(number) { $0.isCancelled[number] = true } }
      }
      let isNew = state.withLock { state in
        guard state.isCancelled[number] == nil, state.isCancelled.count < MonitorProcess.mostRequests else { return false }
        state.isCancelled[number] = false
        return true
      }
      guard isNew, HelperProcess.leftBehindCount < MonitorProcess.mostRequests else {
        return answer(number, isNew: isNew, .failure("too much is under way already"))
      }
      let body: @Sendable () -> Void = { [self] in answer(number, isNew: true, carryOut(what, number)) }
      do throws(NBDError) {
        try POSIXThread.startDetached("a request", body)
      } catch { body() }
    }

    private func answer(_ number: UInt8, isNew: Bool, _ result: HelperProcess.Result) {
      if isNew { state.withLock { _ = $0.isCancelled.removeValue(forKey: number) } }
      let message = MonitorMessage.answer(number, result)
      // Nobody waits for an answer that does not fit in: who asks for much and takes no answer gets none.
      _ = send(socket, message, message.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }

    private func carryOut(_ what: UInt8, _ number: UInt8) -> HelperProcess.Result {
      do throws(NBDError) {
        switch what {
        case MonitorMessage.hello: return .success
        case MonitorMessage.writePIDFile:
          if let pidFile { try write(pidFile) }
          return .success
        case MonitorMessage.removePIDFile:
          let file = state.withLock { $0.pidFile.take() }
          file?.remove()
          return .success
        default:
          guard let action = MountAction(rawValue: what) else { return .failure("there is no such request") }
          if action == .abort { return try abort() }
          if action == .detach { holdRoot() }
          let result = try places.carryOut(action) { isGivenUp(number) ? .zero : MonitorProcess.patience }
          if action == .detach, !result.succeeded, !isGivenUp(number) { places.detachHere() }
          return result
        }
      } catch { return .failure("\(error)") }
    }

    /// So that the number of the mount is still its own when it is out of sight, and to be aborted.
    private func holdRoot() {
      guard let place = places.present.last, let root = Helper.openRoot(place.mountpoint, of: place.id) else { return }
      let old = state.withLock { state in
        defer { state.root = root }
        return state.root
      }
      if let old { close(old) }
    }

    /// Only what is held: the number of a mount that goes meanwhile may be another's.
    private func abort() throws(NBDError) -> HelperProcess.Result {
      if !isHeld { holdRoot() }
      if isHeld { try FuseConnection(minor: places.entry.minor).abort() }
      return .success
    }

    private var isHeld: Bool { state.withLock { $0.root != nil } }

    private func write(_ path: String) throws(NBDError) {
      let isFirst = state.withLock { state in
        defer { state.hasPIDFile = true }
        return !state.hasPIDFile
      }
      guard isFirst else { return }
      let file = try PIDFile(path: path, pid: process)
      state.withLock { $0.pidFile = file }
    }

    private func isGivenUp(_ number: UInt8) -> Bool { state.withLock { $0.isCancelled[number] ?? true } }
  }
}
