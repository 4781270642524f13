/// Losing the connection, and getting another one.
extension ReactorLoop {
  /// The server has announced that it goes away, and all that it still had to answer is answered: disconnect softly.
  mutating func leave() {
    connection.machine.disconnect()
    _ = send()
    lose(.disconnected("the server is shutting down"))
  }

  /// The connection is of no use any more: what is in flight goes elsewhere, or waits, as does whatever comes later.
  ///
  /// - Parameter isFenced: the server has closed it.
  mutating func lose(_ error: NBDError, isFenced: Bool = false) {
    guard connection.isConnected else { return }
    accepts = false
    connection.giveUp(isFenced: isFenced, quiesce: reactor.timing.quiesce)
    shareSource()
    reactor.hadAnswers.store(connection.hasReceived, ordering: .relaxed)
    reactor.hadRequests.store(connection.machine.load > 0, ordering: .relaxed)
    reactor.lost(error)
    // Where this was the last connection, they may have nothing to wait for any more.
    for peer in peers { peer.mailbox.gateChanged() }
    connection.hangUp()
    var completed: [Completion] = []
    var lost: [ReturnedOperation] = []
    connection.machine.surrender(completed: { completed.append($0) }, { lost.append($0) })
    tellOfRoom()
    for completion in completed { complete(completion) }
    for operation in lost { giveBack(operation, outcome: .connectionLost) }
    resend()
  }

  /// Drives `next` from here on.
  mutating func adopt(_ next: NegotiatedConnection) {
    guard !connection.isConnected, !isFinishing, let channel = next.takeChannel() else { return }
    var new = Connection(
      channel, next.export, leftover: next.leftover, patience: reactor.timing.patience, log: reactor.link.log, reactor.gate,
      reactor.epoll, reactor.clock)
    swap(&connection, &new)
    if new.isSettling { retire(new) }
    do { try connection.watch() } catch { return lose(error) }
    for peer in peers { peer.mailbox.gateChanged() }
    drainEvents()
  }

  private mutating func retire(_ old: consuming Connection) {
    if var older = retired.take(), let doubt = older.abandon() { doubts.append(doubt) }
    old.retire()
    retired = consume old
  }

  /// Looks after connections that were given up. Returns whether there was anything to do.
  mutating func settle() -> Bool {
    var worked = connection.settle()
    if retired != nil {
      if retired?.settle() == true { worked = true }
      if retired?.isSettling == false { retired = nil }
    }
    while let first = doubts.first, reactor.clock.now >= first.until {
      doubts.removeFirst()
      reactor.gate.release(first.hold)
      worked = true
    }
    return worked
  }

  /// Something is to be waited for that epoll does not tell of.
  var isSettling: Bool { connection.isSettling || retired != nil || !doubts.isEmpty }
}
