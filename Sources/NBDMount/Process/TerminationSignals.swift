import Glibc
import NBDProtocol
import SystemPackage

/// The signals that end a mount, taken by a thread of their own instead of a handler: what is to be done for
/// them (flush, unmount) is nothing that a signal handler may do.
struct TerminationSignals {
  enum Signal: Int32, Hashable, Sendable, CaseIterable {
    case terminate = 15
    case interrupt = 2
    case hangup = 1
    /// Not for ending: kept for a report of statistics, and blocked so that it does not kill the mount.
    case user1 = 10
  }

  /// The thread that waits.
  let thread: pthread_t

  /// Blocks the signals and ignores SIGPIPE. Call it first of all: threads inherit the mask of the thread
  /// that makes them, and a single thread without it would let the signal kill the process.
  static func block() {
    var signals = set
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    // A peer that hangs up is an EPIPE from write, not the end of the process; and so is a limit on the size of files
    // (`ulimit -f`), which the pid file may meet when everything is mounted.
    for signal in [SIGPIPE, SIGXFSZ] { Glibc.signal(signal, SIG_IGN) }
  }

  /// For what has nothing to tidy up: the signals end the process again.
  static func unblock() {
    var signals = set
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }

  /// Starts the thread. A signal that was ignored when we started, as nohup does with SIGHUP and a shell without job control
  /// with the SIGINT of what it starts in the background, stays ignored.
  ///
  /// - Parameter receive: called on the new thread for each signal, one at a time. A second signal waits
  ///   until it returns, so long work belongs elsewhere if the second is to mean "at once".
  init(receive: @escaping @Sendable (Signal) -> Void) throws(NBDError) {
    let box = Unmanaged.passRetained(Receiver(receive))
    var thread = pthread_t()
    // The new thread inherits this mask, so that no signal can kill the process before it waits.
    var signals = Self.set
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, &signals, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let result = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        let receiver = Unmanaged<Receiver>.fromOpaque(context).takeRetainedValue()
        TerminationSignals.wait(for: receiver)
      }, box.toOpaque())
    guard result == 0 else {
      box.release()
      throw .system(Errno(rawValue: result), doing: "starting the signal thread")
    }
    pthread_detach(thread)
    self.thread = thread
  }

  private final class Receiver: Sendable {
    let receive: @Sendable (Signal) -> Void
    init(_ receive: @escaping @Sendable (Signal) -> Void) { self.receive = receive }
  }

  private static func wait(for receiver: Receiver) -> Never {
    var signals = set
    while true {
      var number: Int32 = 0
      guard sigwait(&signals, &number) == 0, let signal = Signal(rawValue: number) else { continue }
      receiver.receive(signal)
    }
  }

  /// Without those that are ignored: a *blocked* signal is queued by the kernel even if it is ignored, and `sigwait` would
  /// take it. The dispositions are those that we were started with.
  private static var set: sigset_t {
    var result = sigset_t()
    sigemptyset(&result)
    for signal in Signal.allCases where signal == .user1 || !isIgnored(signal) { sigaddset(&result, signal.rawValue) }
    return result
  }

  private static func isIgnored(_ signal: Signal) -> Bool {
    var action = sigaction()
    guard sigaction(signal.rawValue, nil, &action) == 0, let handler = action.__sigaction_handler.sa_handler else {
      return false
    }
    return unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }
}
