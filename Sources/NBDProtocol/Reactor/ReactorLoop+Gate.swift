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

  /// The same for an operation from the mailbox, which may have passed the gate on its way.
  func mustWait(_ pending: UnsafeMutablePointer<PendingOperation>) -> Bool {
    guard !pending.pointee.hasPassedGate else { return false }
    if mustWait(pending.pointee.operation) { return true }
    pending.pointee.hasPassedGate = true
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
    while let operation = parked.next(isBlocked: { [reactor] in reactor.isBlocked($0) }) {
      submitParked(operation)
      worked = true
    }
    return worked
  }

  private mutating func submitParked(_ operation: Operation) {
    if operation.token.origin == .mailbox, let pending = UnsafeMutablePointer<PendingOperation>(operation.token) {
      pending.pointee.hasPassedGate = true
      pending.pointee.next = nil
      return backlog.append(pending)
    }
    guard let peer = peers.choose(for: operation.command, of: reactor.export) else { return end(operation) }
    handOut(operation, to: peer)
  }

  /// Ends the operations that wait, because there will be no connection for them.
  mutating func endParked() {
    for operation in parked.takeAll() { end(operation) }
  }

  private mutating func end(_ operation: Operation) {
    complete(Completion(token: operation.token, outcome: .connectionLost, data: nil))
  }
}

extension Reactor {
  /// Whether the gate stops a mutating operation; then it wakes this reactor when that may have changed.
  func isBlocked(_ operation: Operation) -> Bool { gate.blocks(operation.range, waking: mailbox) }
}
