/// A reactor's second side: its source's requests.
extension ReactorLoop {
  /// Looks after what takes long: the source's requests, and a server that may be gone. The clock is read every so many turns
  /// only: a busy loop takes thousands of them in the time, and an idle one sleeps in each.
  mutating func watch() {
    guard turnsToWatch <= 0 else {
      turnsToWatch -= 1
      return
    }
    let mayBeWaiting = connection.isConnected && connection.machine.load > 0
    guard mayBeWaiting || source?.hasRequests == true else { return }
    turnsToWatch = 64
    let now = reactor.clock.now
    if let silence = connection.silence(now: now) {
      lose(.disconnected("the server's machine has acknowledged nothing for \(silence / 1_000_000_000) s"))
    }
    if let limit = reactor.timing.answer, connection.unanswered(now: now) >= limit {
      lose(.timedOut("the server has answered nothing for \(limit / 1_000_000_000) s"))
    }
    guard let source, source.hasRequests, now - lastWatch >= UInt64(watchMilliseconds) * 1_000_000 else { return }
    lastWatch = now
    source.watch(&self)
  }

  /// Milliseconds until ``watch()`` has something to do, -1 for ever.
  var timeToWatch: Int32 {
    let isTimed = reactor.timing.answer != nil && connection.machine.load > 0
    return source?.hasRequests == true || isSettling || isTimed ? watchMilliseconds : connection.timeToLook
  }

  mutating func readRequests(_ source: any RequestSource) -> Bool {
    let count: Int
    sharing.isBlocked = false
    switch source.readRequests(&self) {
    case .more(let read), .waiting(let read): count = read
    case .drained(let read):
      count = read
      isSourceReady = false
    case .blocked(let read):
      count = read
      sharing.isBlocked = true
    case .finished:
      count = 0
      isSourceReady = false
      // For good: there is no room for what never comes.
      sharing.isBlocked = true
      watchSource()
    }
    return count > 0
  }

  /// After each turn: says how much there is to do here, for the choice of a reactor.
  @inline(__always)
  mutating func shareSource() {
    // Not for the mailbox alone: its own count is exact, where this one is a turn old.
    let load = source == nil ? 0 : connection.machine.load
    if load != reactor.commands.load(ordering: .relaxed) { reactor.commands.store(load, ordering: .relaxed) }
    sharing.update(
      isCrowded: (pacer.isCrowded && connection.machine.load > 0)
        || connection.machine.payload >= RequestSharing.crowdedPayload || (sharing.isFirst && !connection.isConnected))
  }

  mutating func watchSource() {
    guard let source else { return }
    do { try sharing.watch(source) } catch { lose(error) }
  }
}
