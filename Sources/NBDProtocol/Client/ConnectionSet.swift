import Glibc

/// The reactors of one export, and the choice of one of them for each operation.
package final class ConnectionSet<Source: RequestSource>: Sendable {
  package let export: Export
  package let reactors: [Reactor<Source>]

  package init(_ export: Export, _ reactors: [Reactor<Source>]) {
    self.export = export
    self.reactors = reactors
  }

  /// The reactor to give `command` to: the least loaded one that is alive.
  ///
  /// Where the server has a minimum block above one byte, all mutating commands go to one reactor, the first that is
  /// alive: a read-modify-write is ordered with its neighbours inside one machine, and not across them.
  package func reactor(for command: Command) -> Reactor<Source>? {
    if reactors.count == 1 || (command.mutates && export.blockSizes.minimum > 1) {
      return reactors.first(where: \.isAlive)
    }
    var best: Reactor<Source>?
    var least = Int.max
    for reactor in reactors where reactor.isAlive {
      let load = reactor.load.load(ordering: .relaxed)
      if load < least {
        best = reactor
        least = load
      }
    }
    return best
  }

  /// Why there is no connection, where there is none.
  package var failure: NBDError? {
    for reactor in reactors {
      switch reactor.currentState {
      case .lost(let error): return error
      case .running, .stopped: continue
      }
    }
    return nil
  }

  /// At least one connection works.
  package var isAlive: Bool { reactors.contains(where: \.isAlive) }

  /// Carries out `operation` and blocks until it is done.
  ///
  /// - Parameters:
  ///   - interruptible: called once the operation is submitted, with the means to abandon it from another thread. The
  ///     canceller is good until `settled` returns.
  ///   - settled: called when the operation is done, and before its memory goes; it has to make sure that no other thread
  ///     uses the canceller any more.
  /// - Returns: the extents of a block status operation, by context; otherwise nothing.
  @discardableResult
  package func perform(
    _ operation: Operation, interruptible: (Canceller) -> Void = { _ in }, settled: () -> Void = {}
  ) throws(NBDError) -> [[Extent]] {
    try export.check(operation)
    guard let reactor = reactor(for: operation.command) else { throw lostError() }
    var pending = PendingOperation(operation, waiter: .thread)
    withUnsafeMutablePointer(to: &pending) { pointer in
      sem_init(&pointer.pointee.semaphore, 0, 0)
      pointer.pointee.operation.token = pointer.token
      reactor.submit(pointer)
      interruptible(Canceller(pending: pointer, mailbox: reactor.mailbox))
      waitForSemaphore(&pointer.pointee.semaphore)
      settled()
      sem_destroy(&pointer.pointee.semaphore)
    }
    try check(pending.outcome, operation)
    return pending.extents
  }

  /// Carries out `operation` without blocking a thread.
  package func perform(_ operation: Operation) async throws(NBDError) -> [[Extent]] {
    try export.check(operation)
    guard let reactor = reactor(for: operation.command) else { throw lostError() }
    let pending = UnsafeMutablePointer<PendingOperation>.allocate(capacity: 1)
    // SAFETY: only this function and the reactor know the pointer; the reactor lets go of it when it resumes.
    nonisolated(unsafe) let shared = pending
    await withUnsafeContinuation { continuation in
      shared.initialize(to: PendingOperation(operation, waiter: .task(continuation)))
      shared.pointee.operation.token = shared.token
      reactor.submit(shared)
    }
    let outcome = shared.pointee.outcome
    let extents = shared.pointee.extents
    shared.deinitialize(count: 1)
    shared.deallocate()
    try check(outcome, operation)
    return extents
  }

  /// Disconnects all, softly; see ``Reactor/stop()``.
  package func stop() {
    // All are asked before any is waited for: a server that hangs costs its time once, not once for each connection.
    for reactor in reactors { reactor.requestStop() }
    for reactor in reactors { reactor.stop() }
  }

  private func check(_ outcome: Outcome, _ operation: Operation) throws(NBDError) {
    switch outcome {
    case .success: return
    case .failed(let code): throw .server(code)
    case .abandoned: throw .abandoned
    case .connectionLost: throw lostError()
    }
  }

  private func lostError() -> NBDError { failure ?? .disconnected("there is no connection to the server") }
}

/// Abandons an operation that another thread waits for.
package struct Canceller {
  let pending: UnsafeMutablePointer<PendingOperation>
  let mailbox: Mailbox

  /// Ends the wait with ``NBDError/abandoned``, unless the operation is done already. Blocks for a turn of the
  /// reactor, which never waits for the server.
  package func cancel() { mailbox.cancel(pending) }
}
