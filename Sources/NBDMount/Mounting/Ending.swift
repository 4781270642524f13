import Glibc
import NBDProtocol
import Synchronization

/// How a mount ends, whoever ends it; on the main thread, which serves no requests and so may wait.
///
///     signal ──> write back ──> unmount ──> the kernel ends it ──┐
///     unmounted by somebody ─────────────────────────────────────┼──> last flush ──> disconnect
///     aborted by somebody ──> detach what is left ───────────────┘
///
/// After a signal the kernel may still hold written pages, and only we can take them: so requests are served as before, while
/// children write the pages back and unmount. What does not end by itself in its time (``Deadlines``) is ended by force, and
/// whatever happened before, the last flush is tried.
final class Ending: Sendable {
  /// Descriptors that unmounting takes: a pipe to a child, and one to read or write a file; or the directory above, the mount, and
  /// one to read a file.
  private static let descriptors = 3

  private let mounted: MountedExport
  private let end: EndOfService
  private let control: MountControl
  private let unmounter: Unmounter
  private let reserve = DescriptorReserve(descriptors)
  private let flusher: StandbyThread

  /// Gets what the end of the new mount takes, while that cannot go wrong yet.
  init(_ mounted: MountedExport, _ end: EndOfService, _ control: MountControl) throws(NBDError) {
    self.mounted = mounted
    self.end = end
    self.control = control
    unmounter = Unmounter(control: control)
    flusher = try StandbyThread("the last flush")
  }

  /// Waits until the mount ends or is to end.
  func wait() -> EndOfService.Cause {
    while true {
      if let cause { return cause }
      end.wait(atMost: Deadlines.look)
    }
  }

  private var cause: EndOfService.Cause? {
    // Looked at after the result: an engine that ends because the mount has, ends after it.
    let result = end.result
    if !mounted.session.isConnected { return .gone }
    if let result { return .failed(result) }
    return end.isRequested ? .requested : nil
  }

  /// How ``finish(_:goesOn:)`` went.
  struct Outcome {
    /// Nothing is known to be lost, and nothing has failed.
    var isGood = true
    /// Threads may still wait for the kernel or for the server.
    var isForced = false

    fileprivate mutating func failed(_ reason: String) {
      Diagnostics.error(reason)
      isGood = false
    }
  }

  /// Ends it.
  ///
  /// - Parameter goesOn: called now and then while that takes long because the server is slow.
  func finish(_ cause: EndOfService.Cause, goesOn: @escaping () -> Void) -> Outcome {
    reserve.release()
    var outcome = Outcome()
    var patience = Patience(mounted.connections, goesOn: goesOn)
    switch cause {
    case .requested: takeDown(&patience, &outcome)
    case .gone:
      if unmounter.detachDead() {
        outcome.failed("the mount was aborted from outside: what the kernel had not written back is lost")
      }
    case .failed(let error):
      outcome.failed("serving the mount failed: \(error == 0 ? "it ended too early" : String(cString: strerror(error)))")
      _ = unmounter.detach(because: "")
      force(&outcome)
    }
    flush(&patience, &outcome)
    return outcome
  }

  /// Ends it without a flush and without waiting for anybody, on a thread of its own. The exit of the process has to follow.
  func abandon() {
    reserve.release()
    abort()
    _ = unmounter.detach(because: "")
  }

  // MARK: Steps

  /// Writes back, unmounts, and waits for the kernel to end the mount.
  private func takeDown(_ patience: inout Patience, _ outcome: inout Outcome) {
    var isSilent = false
    var isUnsynced = false
    switch unmounter.sync(remaining: { patience.remaining() }) {
    case .done: break
    case .failed(let reason): outcome.failed("writing back failed: \(reason)")
    case .timedOut:
      isSilent = true
      outcome.failed("the server has been silent for \(Deadlines.silence): what was written last may be lost")
    case .unreachable(let reason):
      isUnsynced = true
      Diagnostics.warning("cannot write back before unmounting: \(reason)")
    }
    let unmounting = isSilent ? unmounter.detach(because: "the server hangs") : unmounter.unmount { patience.remaining() }
    switch unmounting {
    case .unmounted, .alreadyGone:
      if isGone() { return }
      Diagnostics.warning(
        "the mount is still in use, in another mount namespace or by a program that has a file of it open: "
          + "its users are cut off")
    case .detached(let reason):
      if isSilent { break }
      Diagnostics.warning("the file is still in use (\(reason)): its users are cut off")
    case .failed(let reason):
      abort()
      if !mounted.session.isConnected, unmounter.detachHere() {
        Diagnostics.warning("cut off whoever uses the file, because it could not be unmounted: \(reason)")
      } else {
        outcome.failed("cannot unmount: \(reason)")
      }
    }
    if unmounting == .alreadyGone || isUnsynced, mounted.file.hasWriters {
      outcome.failed("what programs that have the file open have written may be lost")
    }
    force(&outcome)
  }

  /// Waits a short time for the kernel to end the mount, which is unmounted. It has nothing to write back any more: whoever
  /// closes the file has that done.
  private func isGone() -> Bool {
    let remaining = countdown(Deadlines.kernelEnd)
    while mounted.session.isConnected {
      let left = remaining()
      guard left > .zero else { return false }
      end.wait(atMost: min(left, .milliseconds(50)))
    }
    return true
  }

  /// Ends without waiting for the kernel: it fails what is left.
  private func force(_ outcome: inout Outcome) {
    outcome.isForced = true
    abort()
  }

  private func abort() {
    // Once the kernel has ended the mount, another one may have its number.
    guard mounted.session.isConnected else { return }
    // Not everywhere can it be told so; then it learns of it when our descriptors close.
    _ = try? control.carryOut(.abort, remaining: countdown(Deadlines.unmount))
  }

  /// The last flush, and the soft disconnect after it.
  private func flush(_ patience: inout Patience, _ outcome: inout Outcome) {
    let failure = Mutex<NBDError?>(nil)
    // To be asked is no answer: a server that has hung until now is not given another silence.
    let lastWord = patience.remaining() > .zero ? nil : countdown(Deadlines.lastWord)
    let isAnswered = flusher.run({ [mounted] in
      let error = mounted.flush()
      failure.withLock { $0 = error }
    }, remaining: { lastWord?() ?? patience.remaining() })
    let error = isAnswered ? failure.withLock { $0 } : .timedOut("the server does not answer the last flush")
    if let error { outcome.failed("what was written since the last successful flush may be lost: \(error)") }
    guard isAnswered else {
      outcome.isForced = true
      return
    }
    let isDisconnected = flusher.run({ [mounted] in mounted.connections.stop() }, remaining: countdown(Deadlines.disconnect))
    if !isDisconnected { outcome.isForced = true }
  }
}
