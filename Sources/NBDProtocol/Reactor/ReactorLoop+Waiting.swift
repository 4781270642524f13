/// Operations that are with no machine: at the export's ``RangeGate``, without a connection, or given back by one.
extension ReactorLoop {
  /// Nothing that mutates has to wait.
  @inline(__always)
  var isGateOpen: Bool { reactor.gate.isEmpty && parked.isEmpty }

  /// Whether `operation` has to wait, for what is held or for an older one that waits.
  func mustWait(_ operation: Operation) -> Bool {
    guard !isGateOpen, operation.command.mutates else { return false }
    return parked.overlaps(operation) || reactor.isBlocked(operation)
  }

  /// Whether this reactor is the one that begins such operations now. Those that are carried out in order have one, which may have
  /// been another when they were left here.
  @inline(__always)
  func isPlace(for command: Command) -> Bool {
    !command.isOrdered(block: connection.machine.limits.block) || peers.first(where: \.isAlive) === reactor
  }

  /// Whether `operation`, which has passed the gate, overlaps what another connection may still write: an older one of the log that
  /// was being sent again, or a block that both read, modify and write.
  private func mustWaitForConnections(_ operation: Operation) -> Bool {
    guard !reactor.gate.isEmpty, operation.command.mutates else { return false }
    return reactor.gate.blocksAnew(operation.range, waking: reactor.mailbox)
  }

  /// There is a connection, of this reactor or another, that may be given something now.
  private var isServed: Bool { !reactor.link.stop.isOn && peers.contains(where: \.isAlive) }

  /// There will be no connection for what waits.
  private var isHopeless: Bool { isFinishing || !(peers.contains(where: \.isAlive) || reactor.link.canWait) }

  // MARK: Not sent

  /// Has the first operation of the backlog pass the gate. False where it waits, or has ended, instead.
  mutating func pass(_ pending: UnsafeMutablePointer<PendingOperation>) -> Bool {
    if !pending.pointee.hasPassedGate, mustWait(pending.pointee.operation) {
      backlog.removeFirst()
      parked.append(pending.pointee.operation)
      return false
    }
    if mustWaitForConnections(pending.pointee.operation) {
      backlog.removeFirst()
      giveBack(ReturnedOperation(operation: pending.pointee.operation, fate: .unsent), outcome: .connectionLost)
      return false
    }
    if pending.pointee.pass() { return true }
    backlog.removeFirst()
    deliver(pending, .abandoned)
    return false
  }

  /// Submits the operations that wait for nothing any more. Returns whether there were any.
  mutating func retryWaiting() -> Bool {
    guard !parked.isEmpty || !returned.isEmpty else { return false }
    if isHopeless {
      endWaiting()
      return true
    }
    var worked = resend()
    while let dropped = parked.removeFirst(where: \.isDropped) {
      end(dropped, .abandoned)
      worked = true
    }
    while isServed, let operation = parked.next(isBlocked: { [reactor] in reactor.isBlocked($0) }) {
      worked = true
      if let pending = operation.pending {
        guard pending.pointee.pass() else {
          end(operation, .abandoned)
          continue
        }
        pending.pointee.next = nil
        backlog.append(pending)
      } else if let peer = peers.choose(for: operation.command, of: reactor.export) {
        handOut(operation, to: peer)
      } else {
        parked.append(operation)
        break
      }
    }
    return worked
  }

  // MARK: Given back

  /// Takes an operation that this reactor's connection could not finish.
  ///
  /// - Parameter outcome: how it ends where there will be no other connection.
  mutating func giveBack(_ operation: ReturnedOperation, outcome: Outcome) {
    // Nobody waits for it, and what it may have done is held.
    if isFinishing || !isWanted(operation.operation) { return end(operation.operation, outcome) }
    returned.append(operation, fence: connection.doubt, outcome: outcome)
  }

  private func isWanted(_ operation: Operation) -> Bool {
    if let pending = operation.pending { return !pending.pointee.isLeft }
    return source?.isWanted(operation.token) ?? false
  }

  /// Has other connections carry out what came back, as far as nothing is in its way. Returns whether there was anything.
  @discardableResult
  mutating func resend() -> Bool {
    guard !returned.isEmpty else { return false }
    if isHopeless {
      endWaiting()
      return true
    }
    var worked = false
    while let left = returned.removeFirst(where: { $0.pending?.pointee.isLeft ?? false }) {
      end(left, .connectionLost)
      worked = true
    }
    while isServed, let operation = nextReturned() {
      // Not to be found again in this loop: what is for this reactor waits until that accepts.
      guard let peer = peers.choose(for: operation.command, of: reactor.export), accepts || peer !== reactor else {
        returned.putBack(operation)
        break
      }
      worked = true
      if let pending = operation.pending {
        pending.pointee.next = nil
        if accepts { backlog.append(pending) } else { passOn(pending) }
      } else {
        handOut(operation, to: peer)
      }
    }
    return worked
  }

  private mutating func nextReturned() -> Operation? {
    returned.next(
      isHeld: { [reactor] in reactor.gate.holds($0, waking: reactor.mailbox) },
      isBlocked: { [reactor] in
        $0.command.mutates && reactor.gate.blocksAnew($0.range, waking: reactor.mailbox)
      })
  }

  // MARK: The end

  /// Ends the operations that wait, because there will be no connection for them.
  mutating func endWaiting() {
    for (operation, outcome) in returned.takeAll() { end(operation, outcome) }
    for operation in parked.takeAll() { end(operation, .connectionLost) }
  }

  private mutating func end(_ operation: Operation, _ outcome: Outcome) {
    complete(Completion(token: operation.token, outcome: outcome, data: nil))
  }

  // MARK: For the source

  /// The export's gate, for the ranges of operations that nobody waits for any more.
  package var gate: RangeGate { reactor.gate }

  /// Takes back an operation of the source that is with no machine. Nil where it is with one: then its completion comes.
  package mutating func drop(_ token: Token) -> ReturnedOperation.Fate? {
    if parked.removeFirst(where: { $0.token == token }) != nil { return .unsent }
    return returned.removeFirst(where: { $0.token == token }) != nil ? .inDoubt : nil
  }
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
