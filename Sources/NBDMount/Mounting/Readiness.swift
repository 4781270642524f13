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
    /// Who removes the pid file, where we have become another user.
    var monitor: PrivilegedMonitor?
  }
  private let state: Mutex<State>

  /// Reads, and clears, what whoever started us left in the environment. Call it before any thread is made.
  ///
  /// - Parameter pipe: to the command that waits for us, in the process that `--background` started.
  init(_ pipe: consuming ReadyPipe?) {
    let notification = ServiceNotification.takeFromEnvironment()
    state = Mutex(State(pipe: pipe, notification: notification, pidFile: nil, monitor: nil))
  }

  /// - Parameter monitor: who has kept the right to write and remove the pid file, which it knows.
  func announce(_ configuration: MountConfiguration, _ monitor: PrivilegedMonitor?) throws(NBDError) {
    try state.withLock { state throws(NBDError) in
      if let monitor {
        try monitor.writePIDFile()
        state.monitor = monitor
      } else if let path = configuration.pidFile {
        state.pidFile = try PIDFile(path: path)
      }
      // A mount that works is worth more than a service manager that knows of it.
      do throws(NBDError) {
        try state.notification?.ready(mainProcess: state.pipe == nil ? nil : getpid())
      } catch { Diagnostics.warning("\(error)") }
      if let pipe = state.pipe.take() { try pipe.ready() }
    }
  }

  /// How the mount is doing: one line, for `systemctl status`.
  func status(_ line: String) {
    state.withLock { try? $0.notification?.send("STATUS=\(printable(line))\n") }
  }

  /// The end of the mount has begun.
  func stopping() {
    // The service manager may be gone already: that is no reason to fail.
    state.withLock { try? $0.notification?.stopping() }
  }

  /// It takes longer, and is still under way: systemd would end us after its own time otherwise (`EXTEND_TIMEOUT_USEC`).
  func stillStopping() {
    let microseconds = Deadlines.prolongation.components.seconds * 1_000_000
    state.withLock { try? $0.notification?.send("EXTEND_TIMEOUT_USEC=\(microseconds)\n") }
  }

  /// The mount is over, or never came to be. From any thread; again is harmless.
  func retract() {
    state.withLock { state in
      state.pidFile.take()?.remove()
      state.monitor.take()?.removePIDFile()
    }
  }
}
