import CFuse3
import Glibc
import NBDProtocol
import Synchronization

/// Ends the wait of processes that are being killed.
///
/// The kernel tells us once that a process has got a signal while it waits for a request, and then waits for the
/// answer even if the process is killed later. Most signals are no reason to give up: on a healthy link an answer comes soon, and
/// a read that fails with EINTR is one that programs do not expect of a file. But a process that is being killed should not
/// have to wait for a server that hangs. So interrupted requests are looked at again and again, until they are
/// done or their process has SIGKILL pending.
final class CallerWatch: Sendable {
  /// A request that a thread waits for. It lives on that thread's stack until ``CallerWatch/forget(_:)``.
  struct Call {
    let watch: CallerWatch
    let process: pid_t
    var canceller: Canceller?
    /// Set by libfuse's thread under the request's lock, read by the waiting thread after it has held that lock.
    var isWatched = false

    init(watch: CallerWatch, process: pid_t) {
      self.watch = watch
      self.process = process
    }
  }

  /// Between two looks at the processes of interrupted requests.
  private static let milliseconds = 200

  /// Addresses of calls. A call is in the list only while its thread waits.
  private let calls = Mutex<[UInt]>([])
  private let wake = Semaphore()

  /// Starts the thread that looks; it lives as long as the process.
  init() throws(NBDError) {
    try POSIXThread.startDetached("the watch over callers") { [self] in
      while true {
        wake.wait()
        while look() { wake.wait(milliseconds: Self.milliseconds) }
      }
    }
  }

  /// The kernel says that the call's process has got a signal.
  func interrupted(_ call: UnsafeMutablePointer<Call>) {
    if Self.isBeingKilled(call.pointee.process) {
      call.pointee.canceller?.cancel()
      return
    }
    calls.withLock { list in
      call.pointee.isWatched = true
      list.append(UInt(bitPattern: call))
    }
    wake.signal()
  }

  /// The call is over: afterwards this does not know it any more.
  func forget(_ call: UnsafeMutablePointer<Call>) {
    guard call.pointee.isWatched else { return }
    let address = UInt(bitPattern: call)
    calls.withLock { list in list.removeAll { $0 == address } }
  }

  /// Looks at all calls once. False when there are none left to look at.
  private func look() -> Bool {
    calls.withLock { list in
      list.removeAll { address in
        guard let call = UnsafeMutablePointer<Call>(bitPattern: address), Self.isBeingKilled(call.pointee.process) else {
          return false
        }
        // Under the lock, so that the call cannot go in the meantime. The reactor that answers never takes this lock.
        call.pointee.canceller?.cancel()
        return true
      }
      return !list.isEmpty
    }
  }

  /// SIGKILL is pending for the thread: the kernel puts it there for every way to die of a signal.
  static func isBeingKilled(_ process: pid_t) -> Bool {
    // In a namespace where the caller has no number it is 0, and nothing can be said.
    guard process > 0 else { return false }
    guard let status = try? readWholeFile("/proc/\(process)/status") else { return true }
    let kill: UInt64 = 1 << UInt64(SIGKILL - 1)
    for line in String(decoding: status, as: UTF8.self).split(separator: "\n") {
      guard line.hasPrefix("SigPnd:") || line.hasPrefix("ShdPnd:") else { continue }
      let value = line.drop { $0 != "\t" }.dropFirst()
      if let pending = UInt64(value, radix: 16), pending & kill != 0 { return true }
    }
    return false
  }
}
