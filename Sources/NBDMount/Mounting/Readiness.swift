import Glibc
import NBDProtocol
import Synchronization

/// Tells everybody who waits for it that the mount is there: the pid file, the service manager, the command that started
/// us in the background.
final class Readiness: Sendable {
  private struct State: ~Copyable {
    var pipe: ReadyPipe?
    var notification: ServiceNotification?
    var pidFile: PIDFile?
  }
  private let state: Mutex<State>

  /// Reads, and clears, what whoever started us left in the environment. Call it before any thread is made.
  init() {
    state = Mutex(State(pipe: ReadyPipe.takeFromEnvironment(), notification: .takeFromEnvironment(), pidFile: nil))
  }

  /// We are the process that `--background` started.
  var isBackground: Bool { state.withLock { $0.pipe != nil } }

  func announce(_ configuration: MountConfiguration) throws(NBDError) {
    try state.withLock { state throws(NBDError) in
      if let path = configuration.pidFile { state.pidFile = try PIDFile(path: path) }
      try state.notification?.ready()
      if let pipe = state.pipe.take() { try pipe.ready() }
    }
  }

  /// The mount is over, or never came to be.
  func retract() {
    state.withLock { state in
      // The service manager may be gone already: that is no reason to fail.
      try? state.notification?.stopping()
      state.pidFile?.remove()
      state.pidFile = nil
    }
  }
}
