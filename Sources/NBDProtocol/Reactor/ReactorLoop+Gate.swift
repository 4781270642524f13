/// Waiting at the export's ``RangeGate``.
extension ReactorLoop {
  /// Nothing that mutates has to wait.
  @inline(__always)
  var isGateOpen: Bool { reactor.gate.isEmpty && parked.isEmpty }

  /// Whether `operation` has to wait, for what is held or for an older one that waits.
  func mustWait(_ operation: Operation) -> Bool {
    guard !isGateOpen, operation.command.mutates else { return false }
    return parked.overlaps(operation) || reactor.isBlocked(operation)
  }

  /// Has the first operation of the backlog pass the gate. False where it waits, or has ended, instead.
  mutating func pass(_ pending: UnsafeMutablePointer<PendingOperation>) -> Bool {
    if !pending.pointee.hasPassedGate, mustWait(pending.pointee.operation) {
      backlog.removeFirst()
      park(pending.pointee.operation)
      return false
    }
    if pending.pointee.pass() { return true }
    backlog.removeFirst()
    deliver(pending, .abandoned)
    return false
  }

  /// Lets an operation wait, until ``retryParked()``.
  mutating func park(_ operation: Operation) {
    var operation = operation
    if operation.copiesPayload, operation.token.origin == .source { source?.keepPayload(&operation) }
    parked.append(operation)
  }

  /// Submits the operations that wait for nothing any more. Returns whether there were any.
  mutating func retryParked() -> Bool {
    guard !parked.isEmpty else { return false }
    guard peers.contains(where: \.isAlive) else {
      endParked()
      return true
    }
    var worked = false
    while let dropped = parked.removeFirst(where: \.isDropped) {
      end(dropped, .abandoned)
      worked = true
    }
    while let operation = parked.next(isBlocked: { [reactor] in reactor.isBlocked($0) }) {
      submitParked(operation)
      worked = true
    }
    return worked
  }

  private mutating func submitParked(_ operation: Operation) {
    if let pending = operation.pending {
      guard pending.pointee.pass() else { return end(operation, .abandoned) }
      pending.pointee.next = nil
      backlog.append(pending)
    } else if let peer = peers.choose(for: operation.command, of: reactor.export) {
      handOut(operation, to: peer)
    } else {
      end(operation, .connectionLost)
    }
  }

  /// Ends the operations that wait, because there will be no connection for them.
  mutating func endParked() {
    for operation in parked.takeAll() { end(operation, .connectionLost) }
  }

  private mutating func end(_ operation: Operation, _ outcome: Outcome) {
    complete(Completion(token: operation.token, outcome: outcome, data: nil))
  }

  // MARK: For the source

  /// The export's gate, for the ranges of operations that nobody waits for any more.
  package var gate: RangeGate { reactor.gate }

  /// Takes back an operation of the source that waits and was not sent. False where it was: then its completion comes.
  package mutating func drop(_ token: Token) -> Bool { parked.removeFirst { $0.token == token } != nil }
}

extension Operation {
  /// Where it came with the mailbox.
  fileprivate var pending: UnsafeMutablePointer<PendingOperation>? {
    token.origin == .mailbox ? UnsafeMutablePointer(token) : nil
  }

  /// Whoever waited for it has dropped it.
  fileprivate var isDropped: Bool { pending?.pointee.isDropped ?? false }
}

extension Reactor {
  /// Whether the gate stops a mutating operation; then it wakes this reactor when that may have changed.
  func isBlocked(_ operation: Operation) -> Bool { gate.blocks(operation.range, waking: mailbox) }
}
