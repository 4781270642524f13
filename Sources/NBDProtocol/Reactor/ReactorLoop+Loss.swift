/// Losing the connection.
extension ReactorLoop {
  /// The server has announced that it goes away, and all that it still had to answer is answered: disconnect softly.
  mutating func leave() {
    connection.machine.disconnect()
    _ = send()
    lose(.disconnected("the server is shutting down"))
  }

  /// The connection is of no use any more: everything in flight ends now, and whatever comes later goes elsewhere.
  ///
  /// - Parameter isFenced: the server has closed it.
  mutating func lose(_ error: NBDError, isFenced: Bool = false) {
    guard connection.isConnected else { return }
    connection.giveUp(isFenced: isFenced, quiesce: reactor.quiesce)
    shareSource()
    reactor.lost(error)
    // Where this was the last connection, they have nothing to wait for any more.
    for peer in peers { peer.mailbox.gateChanged() }
    connection.hangUp()
    var lost: [Completion] = []
    connection.machine.fail { lost.append($0) }
    for completion in lost { complete(completion) }
  }
}
