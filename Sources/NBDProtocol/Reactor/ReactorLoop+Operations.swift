import Glibc

/// Where a reactor's operations come from, and where their outcomes go.
extension ReactorLoop {
  // MARK: From the source

  /// Submits an operation of the source. Where this connection cannot take it, a peer carries it out.
  @inline(__always)
  package mutating func submit(_ operation: Operation) -> Submission {
    if accepts, !operation.command.isOrdered(block: connection.machine.limits.block),
      !operation.command.mutates || isGateOpen
    {
      return connection.machine.submit(operation) ? .accepted : .full
    }
    return submitWithCare(operation)
  }

  private mutating func submitWithCare(_ operation: Operation) -> Submission {
    let isStopped = reactor.link.stop.isOn
    guard !isStopped, !mustWait(operation), let peer = peers.choose(for: operation.command, of: reactor.export) else {
      guard isStopped || reactor.link.canWait || peers.contains(where: \.isAlive), !isFinishing else { return .lost }
      parked.append(operation)
      return .accepted
    }
    if peer === reactor, accepts { return connection.machine.submit(operation) ? .accepted : .full }
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
    pending.pointee.operation.token = pending.token
    handedOut += 1
    peer.submit(pending)
  }

  // MARK: From the mailbox

  /// Takes what other threads have left. Returns whether there was anything.
  mutating func takeMailbox() -> Bool {
    var worked = false
    if reactor.mailbox.takeGateChange(), retryWaiting() { worked = true }
    backlog.append(reactor.mailbox.takeAll())
    while let pending = backlog.first {
      if accepts, isPlace(for: pending.pointee.operation.command) {
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

  /// An operation that cannot be sent over this connection now goes to another one, or waits.
  mutating func passOn(_ pending: UnsafeMutablePointer<PendingOperation>) {
    let link = reactor.link
    if !link.stop.isOn, let peer = peers.choose(for: pending.pointee.operation.command, of: reactor.export), peer !== reactor {
      reactor.load.subtract(1, ordering: .relaxed)
      return peer.submit(pending)
    }
    guard !isFinishing, link.stop.isOn || link.canWait || peers.contains(where: \.isAlive) else {
      return deliver(pending, .connectionLost)
    }
    if pending.pointee.hasPassedGate {
      returned.append(
        ReturnedOperation(operation: pending.pointee.operation, fate: .unsent), fence: nil, outcome: .connectionLost)
    } else {
      parked.append(pending.pointee.operation)
    }
  }

  /// An operation of the source comes back from the peer that has carried it out.
  private mutating func takeBack(_ pending: UnsafeMutablePointer<PendingOperation>) {
    handedOut -= 1
    if case .reactor(_, let token) = pending.pointee.waiter {
      let completion = Completion(
        token: token, outcome: pending.pointee.outcome, data: nil, replacement: pending.pointee.replacement)
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
      pending.pointee.replacement = completion.replacement
      deliver(pending, completion.outcome)
    case .reactor: isMakingRoom = false
    }
  }

  /// The server may have said that it goes away.
  @inline(__always)
  mutating func noticeShutdown() {
    guard connection.machine.isShutDown, connection.isOpen else { return }
    accepts = false
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

  /// Appends a chain. Flushes go to the front: they are about what was answered, and what waits may wait for one.
  mutating func append(_ chain: UnsafeMutablePointer<PendingOperation>?) {
    var link = chain
    while let pending = link {
      link = pending.pointee.next
      let isFirst = pending.pointee.operation.command == .flush
      pending.pointee.next = isFirst ? first : nil
      if isFirst || first == nil { first = pending } else { last?.pointee.next = pending }
      if pending.pointee.next == nil { last = pending }
    }
  }

  mutating func removeFirst() {
    first = first?.pointee.next
    if first == nil { last = nil }
  }
}
