import Glibc
import NBDProtocol
import Synchronization

/// How a mount ends when we are told to end it by a signal.
///
/// The kernel still holds written pages then, and only we can take them: so the requests are served as before, while
/// children write the pages back and unmount. What does not end by itself within its time is ended by force.
final class Ending: Sendable {
  /// The second signal, or the deadline, finds this many milliseconds for what is left.
  private static let graceMilliseconds = 5_000
  private static let syncDeadline = Duration.seconds(10)
  private static let unmountDeadline = Duration.seconds(4)

  private struct State {
    var unmounter: Unmounter?
    var connection: FuseConnection?
    var isRequested = false
    var hasLostData = false
  }
  private let state = Mutex(State())

  /// A signal has come.
  var isRequested: Bool { state.withLock { $0.isRequested } }
  /// What the kernel held could not be written back.
  var hasLostData: Bool { state.withLock { $0.hasLostData } }

  /// Looks the new mount up, while that cannot go wrong yet.
  func prepare(_ mountpoint: Mountpoint) throws(NBDError) {
    let table = try MountTable.current()
    let unmounter = try Unmounter(mountpoint, in: table)
    let connection = try FuseConnection(mountpoint: mountpoint.path, in: table)
    state.withLock {
      $0.unmounter = unmounter
      $0.connection = connection
    }
  }

  func startTakingSignals() throws(NBDError) {
    _ = try TerminationSignals { [self] signal in
      if signal != .user1 { request() }
    }
  }

  /// Begins to end the mount. The second time, at once.
  private func request() {
    let isFirst = state.withLock { state in
      defer { state.isRequested = true }
      return !state.isRequested
    }
    guard isFirst else {
      Diagnostics.error("interrupted again: what was written last may be lost")
      abort()
      _exit(1)
    }
    do {
      try POSIXThread.startDetached("the unmount") { [self] in unmount() }
    } catch {
      Diagnostics.error("\(error)")
      abort()
    }
  }

  private func unmount() {
    guard let unmounter = state.withLock({ $0.unmounter }) else { return }
    let report = unmounter.unmount(syncDeadline: Self.syncDeadline, deadline: Self.unmountDeadline)
    switch report.sync {
    case .done: break
    case .failed(let reason): lost("writing back failed: \(reason)")
    case .timedOut: lost("the server did not take what was written last within \(Self.syncDeadline)")
    }
    switch report.end {
    case .unmounted, .alreadyGone: break
    case .detached(let reason):
      Diagnostics.warning("files are still open (\(reason)): they are cut off now")
      abort()
    case .failed(let reason):
      Diagnostics.error("cannot unmount: \(reason)")
      abort()
    }
    // The loop ends now, and the main thread does the rest. Where it does not, nobody is helped by waiting.
    usleep(useconds_t(Self.graceMilliseconds) * 1000)
    guard hasLostData else { return }
    _exit(1)
  }

  private func lost(_ reason: String) {
    Diagnostics.error(reason)
    state.withLock { $0.hasLostData = true }
  }

  /// Has the kernel fail everything that waits for us, and end the loop.
  private func abort() {
    do { try state.withLock { $0.connection }?.abort() } catch { Diagnostics.error("\(error)") }
  }
}
