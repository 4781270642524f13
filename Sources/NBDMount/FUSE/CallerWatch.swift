import Glibc
import NBDProtocol
import Synchronization

/// Ends the wait of processes that are being killed.
///
/// A process that is killed must not have to wait for a server that hangs. The kernel's own way to say so, an interrupt
/// request, is not enough: it comes once, for the first signal, which most often is no reason to give up (on a healthy
/// link an answer comes soon, and programs do not expect EINTR from a file); and it does not come at all for direct I/O that
/// the kernel has made asynchronous. So whoever waits long is looked at, until the answer comes or SIGKILL is pending.
final class CallerWatch: Sendable {
  /// A request that a thread waits for. It lives on that thread's stack until ``CallerWatch/forget(_:)``.
  struct Call {
    let process: pid_t
    let canceller: Canceller
    /// Looks that have found it waiting.
    var looks = 0

    init(process: pid_t, canceller: Canceller) {
      self.process = process
      self.canceller = canceller
    }
  }

  /// Between two looks.
  private static let milliseconds = 300

  private struct State {
    /// Addresses of calls. A call is in the list only while its thread waits, and is touched under the lock only.
    var calls: [UInt] = []
    /// The looking thread sleeps, and is to be woken by the next call.
    var isIdle = true
  }
  private let state = Mutex(State())
  private let wake = Semaphore()

  /// Starts the thread that looks; it lives as long as the process.
  init() throws(NBDError) {
    try POSIXThread.startDetached("the watch over callers") { [self] in
      let pause = Semaphore()
      while true {
        wake.wait()
        while look() { pause.wait(milliseconds: Self.milliseconds) }
      }
    }
  }

  /// A thread begins to wait.
  func add(_ call: UnsafeMutablePointer<Call>) {
    let address = UInt(bitPattern: call)
    let wasIdle = state.withLock { state in
      state.calls.append(address)
      defer { state.isIdle = false }
      return state.isIdle
    }
    if wasIdle { wake.signal() }
  }

  /// The call is over: afterwards this does not know it any more.
  func forget(_ call: UnsafeMutablePointer<Call>) {
    let address = UInt(bitPattern: call)
    state.withLock { state in
      if let index = state.calls.firstIndex(of: address) {
        state.calls.swapAt(index, state.calls.count - 1)
        state.calls.removeLast()
      }
    }
  }

  /// Looks at all calls once. False when there are none.
  private func look() -> Bool {
    state.withLock { state in
      for address in state.calls {
        guard let call = UnsafeMutablePointer<Call>(bitPattern: address) else { continue }
        call.pointee.looks += 1
        // Under the lock, so that the call cannot go in the meantime. The reactor that answers never takes this lock.
        if call.pointee.looks > 1, Self.isBeingKilled(call.pointee.process) { call.pointee.canceller.cancel() }
      }
      state.isIdle = state.calls.isEmpty
      return !state.isIdle
    }
  }

  /// SIGKILL is pending for the thread: the kernel puts it there for every way to die of a signal.
  static func isBeingKilled(_ process: pid_t) -> Bool {
    // In a namespace where the caller has no number it is 0, and nothing can be said.
    guard process > 0 else { return false }
    // A thread that cannot be seen is no proof: it may be hidden from us, or have ended and left asynchronous I/O that
    // its process still waits for. Giving that up would lose data on a server that is merely slow.
    guard let status = try? readWholeFile("/proc/\(process)/status") else { return false }
    let kill: UInt64 = 1 << UInt64(SIGKILL - 1)
    for line in String(decoding: status, as: UTF8.self).split(separator: "\n") {
      guard line.hasPrefix("SigPnd:") || line.hasPrefix("ShdPnd:") else { continue }
      let value = line.drop { $0 != "\t" }.dropFirst()
      if let pending = UInt64(value, radix: 16), pending & kill != 0 { return true }
    }
    return false
  }
}
