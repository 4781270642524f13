import Glibc
import SystemPackage

/// Losing the connection.
///
/// A connection that the *server* has closed is fenced: nothing that was sent over it happens any more. One that we give up, because
/// of what the server says or because it says nothing, is not: its server may carry out later what it has received. What that is
/// stays held in the gate, and the connection is read on, until the server has closed it too, or must be taken to have
/// forgotten it.
extension ReactorLoop {
  /// The server has announced that it goes away, and all that it still had to answer is answered: disconnect softly.
  mutating func leave() {
    machine.disconnect()
    _ = send()
    lose(.disconnected("the server is shutting down"))
  }

  /// The connection is of no use any more: everything in flight ends now, and whatever comes later goes elsewhere.
  ///
  /// - Parameter isFenced: the server has closed it.
  mutating func lose(_ error: NBDError, isFenced: Bool = false) {
    guard isConnected else { return }
    isConnected = false
    shareSource()
    let inDoubt = isFenced ? [] : machine.mutationsInFlight
    // Before anybody learns of the loss, who could write the same bytes next; and taken before the old hold is released.
    let hold = inDoubt.isEmpty ? nil : reactor.gate.hold(inDoubt)
    if let doubt { reactor.gate.release(doubt) }
    doubt = hold
    reactor.lost(error)
    // Where this was the last connection, they have nothing to wait for any more.
    for peer in peers { peer.mailbox.gateChanged() }
    if hold == nil { close() } else { beginToSettle() }
    var lost: [Completion] = []
    machine.fail { lost.append($0) }
    for completion in lost { complete(completion) }
  }

  private func close() {
    reactor.epoll.remove(socket.rawValue)
    shutdown(socket.rawValue, Int32(SHUT_RDWR))
  }

  // MARK: Settling

  /// The connection was lost, and what the server does about it is not known yet.
  var isSettling: Bool { settlesUntil > 0 }

  private mutating func beginToSettle() {
    settlesUntil = MonotonicClock.now + reactor.quiesce
    shutdown(socket.rawValue, Int32(SHUT_WR))
    // No more wakeups because there is room to send; where that fails, there are some.
    try? reactor.epoll.modify(socket.rawValue, as: .socket, .readable)
    ready.insert(.socket)
  }

  /// Reads on, and looks at the clock. Returns whether there was anything to do.
  mutating func settle() -> Bool {
    guard isSettling else { return false }
    if MonotonicClock.now >= settlesUntil {
      settled()
      return true
    }
    guard ready.contains(.socket) else { return false }
    let count = withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 16) { bytes in
      recv(socket.rawValue, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT))
    }
    let error = Errno(rawValue: errno)
    if count == 0 || (count < 0 && error.isFence) {
      settled()
    } else if count < 0 {
      ready.remove(.socket)
      // The kernel has given the connection up: nothing more can be learned from it.
      if error != .wouldBlock, error != .interrupted { reactor.epoll.remove(socket.rawValue) }
      return false
    }
    return true
  }

  private mutating func settled() {
    settlesUntil = 0
    close()
    if let doubt { reactor.gate.release(doubt) }
    doubt = nil
  }
}

extension Errno {
  /// The peer, and not our own kernel, has ended the connection.
  var isFence: Bool { self == .connectionReset || self == .brokenPipe }
}
