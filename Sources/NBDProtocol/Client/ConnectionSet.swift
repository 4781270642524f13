import Glibc

/// The reactors of one export, and the choice of one of them for each operation.
package final class ConnectionSet: Sendable {
  package let export: Export
  package let reactors: [Reactor]
  /// What all of them ask before they send something that changes the export.
  package let gate: RangeGate
  private let link: Link
  private let reconnector: Reconnector?
  private let logNews: Semaphore

  /// What is done about connections that are lost.
  package struct Reconnecting: Sendable {
    /// Ways to the same export, the first of which has made the connections; none: nobody reconnects.
    package var ways: [Opener] = []
    /// Nanoseconds without any connection after which it is given up; nil never.
    package var window: UInt64?
    /// Nobody writes to the export.
    package var isReadOnly = false
    /// What was answered and is not durable; see ``keepLog(of:for:)``.
    package private(set) var log: WriteLog?
    /// Signalled when that has news.
    fileprivate let logNews = Semaphore()
    /// Told what happens, on a thread that may not be kept for long.
    package var report: (@Sendable (LinkEvent) -> Void)?

    package init() {}

    /// Has what is written kept until it is durable, where somebody reconnects, and where the server has a flush: else a reply is
    /// all there is. To be called when the rest is as it shall be.
    ///
    /// - Parameter capacity: bytes; 0 for none.
    package mutating func keepLog(of capacity: Int, for export: Export) throws(NBDError) {
      guard mayWait, capacity > 0, !isReadOnly, !export.isReadOnly, export.flags.contains(.sendFlush) else { return }
      log = try WriteLog(capacity: capacity) { [logNews] in logNews.signal() }
    }

    fileprivate var mayWait: Bool { !ways.isEmpty && window != 0 }
  }

  /// Starts a reactor for each of `connections`, of which there is at least one.
  ///
  /// - Parameter makeSource: called with the place of the reactor in ``reactors``, on that reactor's thread.
  package init(
    _ connections: [NegotiatedConnection], _ timing: Reactor.Timing = Reactor.Timing(),
    _ reconnecting: Reconnecting = Reconnecting(),
    makeSource: @escaping @Sendable (Int) -> (any RequestSource)? = { _ in nil }
  ) throws(NBDError) {
    guard let first = connections.first else { throw .invalidArgument("there is no connection to drive") }
    export = first.export
    gate = RangeGate(minimumBlock: first.export.blockSizes.minimum)
    logNews = reconnecting.logNews
    link = Link(mayWait: reconnecting.mayWait, log: reconnecting.log)
    var reactors: [Reactor] = []
    // With its own export each, because numbers of metadata contexts are good on their own connection only.
    for connection in connections {
      reactors.append(try Reactor(connection.export, gate, link, timing))
    }
    do throws(NBDError) {
      for (index, connection) in connections.enumerated() {
        try reactors[index].start(connection, peers: reactors) { makeSource(index) }
      }
      reconnector = try Self.reconnector(reconnecting, first.export, link, reactors)
    } catch {
      for reactor in reactors { reactor.requestStop() }
      for reactor in reactors { reactor.join() }
      throw error
    }
    self.reactors = reactors
    guard let log = link.log else { return }
    do { try LogKeeper(log, logNews, self).start() } catch {
      stop()
      throw error
    }
  }

  /// Nothing is begun any more.
  var isEnding: Bool { !link.canWait }

  private static func reconnector(
    _ how: Reconnecting, _ export: Export, _ link: Link, _ reactors: [Reactor]
  ) throws(NBDError) -> Reconnector? {
    guard link.canWait || how.report != nil else { return nil }
    let reconnector = Reconnector(
      link.canWait ? how.ways : [], export, isReadOnly: how.isReadOnly, window: how.window, link, reactors,
      report: how.report ?? { _ in })
    try reconnector.start()
    return reconnector
  }

  /// The reactor to give `command` to; nil where none is alive.
  package func reactor(for command: Command) -> Reactor? {
    // Where all are lost, any of them lets it wait.
    reactors.choose(for: command, of: export) ?? (link.canWait ? reactors[0] : nil)
  }

  /// Why there is no connection, where there is none.
  package var failure: NBDError? {
    if let failure = link.failure { return failure }
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

  /// Grows while bytes move between us and the server, in either direction.
  package var traffic: UInt64 { reactors.reduce(0) { $0 &+ $1.traffic.load(ordering: .relaxed) } }

  /// Carries out `operation` and blocks until it is done. Returns the extents of a block status operation, by context.
  @discardableResult
  package func perform(_ operation: Operation) throws(NBDError) -> [[Extent]] {
    try export.check(operation)
    let (outcome, extents) = run(operation)
    try check(outcome)
    return extents
  }

  /// Carries out `operation`, which ``Export/check(_:)`` has passed, and blocks until it is done.
  ///
  /// Where that is on behalf of a caller who may go, because it is being killed, what was sent is still waited for: it cannot be
  /// called back, and its real outcome counts. Meanwhile nobody else writes there: see ``RangeGate``. What changes the export
  /// and was not sent yet ends with ``Outcome/abandoned``.
  ///
  /// - Parameters:
  ///   - isGone: asked every ``watchMilliseconds`` until it says that the caller goes.
  ///   - gone: called then, once: from here on the caller may be told that its wait is over.
  package func run(
    _ operation: Operation, isGone: () -> Bool = { false }, gone: () -> Void = {}
  ) -> (Outcome, [[Extent]]) {
    guard let reactor = reactor(for: operation.command) else { return (.connectionLost, []) }
    var pending = PendingOperation(operation, waiter: .thread)
    withUnsafeMutablePointer(to: &pending) { pointer in
      sem_init(&pointer.pointee.semaphore, 0, 0)
      pointer.pointee.operation.token = pointer.token
      reactor.submit(pointer)
      var isLeft = false
      var hold: RangeGate.Hold?
      while !waitForSemaphore(&pointer.pointee.semaphore, milliseconds: Int(watchMilliseconds)) {
        guard !isLeft, isGone() else { continue }
        isLeft = true
        hold = pointer.leave(gate, reactors)
        gone()
      }
      precondition(pointer.pointee.hasEnded)
      if let hold { gate.release(hold) }
      sem_destroy(&pointer.pointee.semaphore)
    }
    return (pending.outcome, pending.extents)
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
    precondition(shared.pointee.hasEnded)
    let outcome = shared.pointee.outcome
    let extents = shared.pointee.extents
    shared.deinitialize(count: 1)
    shared.deallocate()
    try check(outcome)
    return extents
  }

  /// Completes what is in flight, disconnects all softly, and waits for that; bounded as in ``Reactor/join()``.
  package func stop() {
    requestStop()
    for reactor in reactors { reactor.join() }
  }

  /// The same, without waiting.
  package func requestStop() {
    reconnector?.end()
    logNews.signal()
    for reactor in reactors { reactor.requestStop() }
  }

  private func check(_ outcome: Outcome) throws(NBDError) {
    switch outcome {
    case .success: return
    case .failed(let code): throw .server(code)
    case .abandoned: throw .abandoned
    case .connectionLost: throw lostError()
    }
  }

  private func lostError() -> NBDError { failure ?? .disconnected("there is no connection to the server") }
}

extension UnsafeMutablePointer<PendingOperation> {
  /// Nobody wants it any more: drops it where it was not sent, and else holds what it may change, until its end.
  func leave(_ gate: RangeGate, _ reactors: [Reactor]) -> RangeGate.Hold? {
    guard pointee.operation.command.mutates else { return nil }
    let isUnsent = pointee.drop()
    let hold = isUnsent ? nil : gate.hold(pointee.operation.range)
    if !isUnsent { pointee.leave() }
    // One of them may have it waiting.
    for reactor in reactors { reactor.mailbox.gateChanged() }
    return hold
  }
}
