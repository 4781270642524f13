import Glibc
import NBDProtocol
import Synchronization

/// What the signals that end a mount mean, from before the first connection to the last flush.
///
/// | signal | before anything is mounted | once mounted |
/// |---|---|---|
/// | the first | ends at once, exit status 1 | ends the mount with all that belongs to it (``Ending``) |
/// | SIGINT or SIGTERM, a second or more after another one of the two | | ends at once, exit status 1 |
/// | any other | | nothing: it belongs to the first |
///
/// A hangup is never the second: when a terminal goes, the kernel and the shell both send one.
///
/// To end at once still undoes what would stay behind. What that is, is registered with ``making(undo:_:)``; it runs on the
/// thread of the signals, which waits for nothing else and so is there whatever hangs.
final class Termination: Sendable {
  private struct State {
    /// Of SIGINT or SIGTERM.
    var first: SuspendingClock.Instant?
    /// What there is to undo, in the order in which it was made.
    var undo: [@Sendable () -> Void] = []
    /// Once mounted: asks for the orderly end.
    var request: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())

  /// Starts to take signals.
  init() throws(NBDError) {
    _ = try TerminationSignals { [self] in receive($0) }
  }

  /// Makes something that has to be undone, with `undo`, if we end at once. Signals wait meanwhile, so `make` must not
  /// wait for a server.
  func making<Made: Sendable>(
    undo: @escaping @Sendable (Made) -> Void, _ make: () throws(NBDError) -> Made
  ) throws(NBDError) -> Made {
    try state.withLock { state throws(NBDError) in
      let made = try make()
      state.undo.append { undo(made) }
      return made
    }
  }

  /// The same for something that is there.
  func register(undo: @escaping @Sendable () -> Void) {
    state.withLock { $0.undo.append(undo) }
  }

  /// From now on there is a mount, or about to be one, and a signal calls `request`, on the thread of the signals.
  func becomesMounted(request: @escaping @Sendable () -> Void) {
    state.withLock { $0.request = request }
  }

  private func receive(_ signal: TerminationSignals.Signal) {
    if signal == .user1 { return }
    // The lock is held for as long as something is being made.
    let (request, isAtOnce) = state.withLock { state in
      (state.request, state.request == nil || Self.isRepeated(signal, since: &state.first))
    }
    if isAtOnce {
      Diagnostics.error(request == nil ? "interrupted" : "interrupted again: what was written last may be lost")
      endAtOnce()
    }
    request?()
  }

  private static func isRepeated(_ signal: TerminationSignals.Signal, since first: inout SuspendingClock.Instant?) -> Bool {
    guard signal != .hangup else { return false }
    let now = SuspendingClock.now
    let time = first ?? now
    first = time
    return now - time >= Deadlines.secondSignal
  }

  private func endAtOnce() -> Never {
    let undo = state.withLock { $0.undo }
    for step in undo.reversed() { step() }
    Diagnostics.end(1)
  }
}
