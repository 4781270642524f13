import Glibc

/// Where a reactor's operations come from, and where their outcomes go.
extension ReactorLoop {
  // MARK: From the source

  /// Submits an operation of the source. Where this connection cannot take it, a peer carries it out.
  @inline(__always)
  package mutating func submit(_ operation: Operation) -> Submission {
    if connection.isOpen, !operation.command.isOrdered(block: connection.machine.limits.block),
      !operation.command.mutates || isGateOpen
    {
      return connection.machine.submit(operation) ? .accepted : .full
    }
    return submitWithCare(operation)
  }

  private mutating func submitWithCare(_ operation: Operation) -> Submission {
    guard operation.command.mutates, mustWait(operation) else { return submitWhereItBelongs(operation) }
    guard peers.contains(where: \.isAlive) else { return .lost }
    park(operation)
    return .accepted
  }

  /// Submits an operation of the source that has passed the gate.
  private mutating func submitWhereItBelongs(_ operation: Operation) -> Submission {
    guard let peer = peers.choose(for: operation.command, of: reactor.export) else { return .lost }
    if peer === reactor, connection.isConnected { return connection.machine.submit(operation) ? .accepted : .full }
    handOut(operation, to: peer)
    return .accepted
  }

  /// Leaves an operation of the source, which has passed the gate, in the mailbox of `peer`, which may be this reactor.
  mutating func handOut(_ operation: Operation, to peer: Reactor) {
    let pending = UnsafeMutablePointer<PendingOperation>.allocate(capacity: 1)
    pending.initialize(
      to: PendingOperation(operation, waiter: .reactor(reactor.mailbox, operation.token), hasPassedGate: true))
    if operation.command == .read, operation.buffer == nil {
      pending.pointee.operation.buffer = source?.buffer(for: operation.token, length: operation.length)
    }
    // The peer would come too late to copy it.
    if operation.copiesPayload { source?.keepPayload(&pending.pointee.operation) }
    pending.pointee.operation.token = pending.token
    handedOut += 1
    peer.submit(pending)
  }

  // MARK: From the mailbox

  /// Takes what other threads have left. Returns whether there was anything.
  mutating func takeMailbox() -> Bool {
    var worked = false
    if reactor.mailbox.takeGateChange(), retryParked() { worked = true }
    backlog.append(reactor.mailbox.takeAll())
    while let pending = backlog.first {
      if connection.isOpen {
        guard pass(pending) else { continue }
        guard connection.machine.submit(pending.pointee.operation) else { break }
        backlog.removeFirst()
      } else {
        backlog.removeFirst()
        passOn(pending)
      }
      worked = true
    }
    var returned = reactor.mailbox.takeReturned()
    while let pending = returned {
      returned = pending.pointee.next
      takeBack(pending)
      worked = true
    }
    return worked
  }

  /// An operation that was not sent, and cannot be any more over this connection, goes to another one.
  private func passOn(_ pending: UnsafeMutablePointer<PendingOperation>) {
    guard let peer = peers.choose(for: pending.pointee.operation.command, of: reactor.export), peer !== reactor else {
      return deliver(pending, .connectionLost)
    }
    reactor.load.subtract(1, ordering: .relaxed)
    peer.submit(pending)
  }

  /// An operation of the source comes back from the peer that has carried it out.
  private mutating func takeBack(_ pending: UnsafeMutablePointer<PendingOperation>) {
    handedOut -= 1
    if case .reactor(_, let token) = pending.pointee.waiter {
      let completion = Completion(token: token, outcome: pending.pointee.outcome, data: nil)
      source?.complete(completion, extents: pending.pointee.extents, &self)
    }
    pending.deinitialize(count: 1)
    pending.deallocate()
  }

  // MARK: Outcomes

  @inline(__always)
  mutating func complete(_ completion: Completion) {
    // Known to all before the caller is woken: what comes next belongs on another connection.
    noticeShutdown()
    switch completion.token.origin {
    case .source:
      let extents = completion.hasExtents ? connection.machine.takeExtents(completion.token) : []
      source?.complete(completion, extents: extents, &self)
    case .mailbox:
      guard let pending = UnsafeMutablePointer<PendingOperation>(completion.token) else { return }
      if completion.hasExtents { pending.pointee.extents = connection.machine.takeExtents(completion.token) }
      deliver(pending, completion.outcome)
    case .reactor: break
    }
  }

  /// The server may have said that it goes away.
  @inline(__always)
  mutating func noticeShutdown() {
    guard connection.machine.isShutDown, connection.isOpen else { return }
    connection.serverLeaves()
    reactor.lost(.disconnected("the server is shutting down"))
  }

  func deliver(_ pending: UnsafeMutablePointer<PendingOperation>, _ outcome: Outcome) {
    reactor.load.subtract(1, ordering: .relaxed)
    pending.signal(outcome)
  }
}

/// Operations from the mailbox that wait for room, linked through themselves.
struct Backlog {
  private(set) var first: UnsafeMutablePointer<PendingOperation>?
  private var last: UnsafeMutablePointer<PendingOperation>?

  var isEmpty: Bool { first == nil }

  /// Appends a chain.
  mutating func append(_ chain: UnsafeMutablePointer<PendingOperation>?) {
    guard let chain else { return }
    if let last { last.pointee.next = chain } else { first = chain }
    var end = chain
    while let next = end.pointee.next { end = next }
    last = end
  }

  mutating func removeFirst() {
    first = first?.pointee.next
    if first == nil { last = nil }
  }
}
