import Glibc
import NBDProtocol
import Synchronization

/// How a mount ends when we are told to end it by a signal.
///
/// The kernel still holds written pages then, and only we can take them: so requests are served as before, while
/// children write the pages back and unmount. What does not end by itself in its time is ended by force.
final class Ending: Sendable {
  /// For writing back what the kernel holds: the flush deadline.
  static let syncDeadline = Duration.seconds(10)
  /// For each attempt to unmount.
  static let unmountDeadline = Duration.seconds(2)

  private struct State {
    var isRequested = false
    var hasLostData = false
    var isForced = false
  }
  private let state = Mutex(State())
  private let unmounter: Unmounter
  private let connection: FuseConnection
  private let stopServing: @Sendable () -> Void

  /// What the kernel held could not be written back.
  var hasLostData: Bool { state.withLock { $0.hasLostData } }
  /// Somebody still has the file open, and is cut off.
  var isForced: Bool { state.withLock { $0.isForced } }

  /// Looks the new mount up, while that cannot go wrong yet.
  ///
  /// - Parameter stopServing: has the main thread go on as if the mount were gone. Any thread.
  init(_ mountpoint: Mountpoint, _ table: MountTable, stopServing: @escaping @Sendable () -> Void) throws(NBDError) {
    unmounter = try Unmounter(mountpoint, in: table)
    connection = try FuseConnection(mountpoint: mountpoint.path, in: table)
    self.stopServing = stopServing
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
      _exit(1)
    }
    do {
      try POSIXThread.startDetached("the unmount") { [self] in unmount() }
    } catch {
      Diagnostics.error("\(error)")
      force()
    }
  }

  private func unmount() {
    let report = unmounter.unmount(syncDeadline: Self.syncDeadline, deadline: Self.unmountDeadline)
    switch report.sync {
    case .done: break
    case .failed(let reason): lost("writing back failed: \(reason)")
    case .timedOut: lost("the server did not take what was written last within \(Self.syncDeadline)")
    }
    switch report.end {
    case .unmounted, .alreadyGone:
      // The kernel ends our loop. Where requests are stuck with the server it does not.
      if hasLostData { force() }
    case .detached(let reason):
      Diagnostics.warning("the file is still in use (\(reason)): its users are cut off")
      force()
    case .failed(let reason):
      Diagnostics.error("cannot unmount: \(reason)")
      force()
    }
  }

  private func lost(_ reason: String) {
    Diagnostics.error(reason)
    state.withLock { $0.hasLostData = true }
  }

  /// Ends without waiting for the kernel: it fails what is left when our descriptors close.
  private func force() {
    state.withLock { $0.isForced = true }
    // Not everywhere can it be told so before that; then it learns of it by our end.
    try? connection.abort()
    stopServing()
  }
}
