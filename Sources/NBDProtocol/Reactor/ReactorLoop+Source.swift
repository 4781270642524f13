/// A reactor's second side: when its requests are read, and by which reactors of the export.
///
/// While little is in flight, one reactor reads all requests, the first: another one would be woken, or look for work, in its way,
/// and find nothing. Once the first is *crowded* it calls the others, and lets them go when that has passed. The kernel
/// then gives each request to one that is free.
extension ReactorLoop {
  /// Bytes of payload in flight from which one reactor is crowded: copying them is work for more than one processor.
  private static var crowdedPayload: Int { 128 * 1024 }
  /// Nanoseconds without a crowd after which the others are let go.
  private static var calm: UInt64 { 2_000_000 }

  /// Looks after what takes long: the source's requests, and a server that may be gone. The clock is read every so many turns
  /// only: a busy loop takes thousands of them in the time, and an idle one sleeps in each.
  mutating func watch() {
    guard turnsToWatch <= 0 else {
      turnsToWatch -= 1
      return
    }
    let mayBeWaiting = isConnected && machine.load > 0
    guard mayBeWaiting || source?.hasRequests == true else { return }
    turnsToWatch = 64
    let now = MonotonicClock.now
    if mayBeWaiting, let silence = peerWatch?.look(at: socket.rawValue, now: now) {
      lose(.disconnected("the server's machine has acknowledged nothing for \(silence / 1_000_000_000) s"))
    }
    guard let source, source.hasRequests, now - lastWatch >= UInt64(watchMilliseconds) * 1_000_000 else { return }
    lastWatch = now
    source.watch(&self)
  }

  /// Milliseconds until ``watch()`` has something to do, -1 for ever.
  var timeToWatch: Int32 {
    if source?.hasRequests == true || isSettling { return watchMilliseconds }
    if let peerWatch, isConnected, machine.load > 0 { return peerWatch.sleep }
    return -1
  }

  mutating func readRequests(_ source: any RequestSource) -> Bool {
    let count: Int
    isSourceBlocked = false
    switch source.readRequests(&self) {
    case .more(let read): count = read
    case .drained(let read):
      count = read
      ready.remove(.source)
    case .blocked(let read):
      count = read
      isSourceBlocked = true
    case .finished:
      count = 0
      ready.remove(.source)
      // For good: there is no room for what never comes.
      isSourceBlocked = true
      watchSource()
    }
    return count > 0
  }

  // MARK: Sharing

  /// After each turn: says how crowded it is here; the first reactor calls the others, or lets them go.
  @inline(__always)
  mutating func shareSource() {
    // Not for the mailbox alone: its own count is exact, where this one is a turn old.
    let load = source == nil ? 0 : machine.load
    if load != reactor.commands.load(ordering: .relaxed) { reactor.commands.store(load, ordering: .relaxed) }
    let isCrowded =
      (pacer.isCrowded && machine.load > 0) || machine.payload >= Self.crowdedPayload || (isFirst && !isConnected)
    if isCrowded != reactor.isCrowded.load(ordering: .relaxed) { reactor.isCrowded.store(isCrowded, ordering: .relaxed) }
    guard leadsOthers else { return }
    if isCrowded != reactor.sharesSource.load(ordering: .relaxed) { changeSharing(isCrowded) } else { calmSince = 0 }
  }

  private mutating func changeSharing(_ isCrowded: Bool) {
    if isCrowded {
      reactor.sharesSource.store(true, ordering: .sequentiallyConsistent)
      for peer in peers where peer !== reactor { peer.mailbox.wakeup.signal() }
    } else if peers.contains(where: { $0.isCrowded.load(ordering: .relaxed) }) {
      calmSince = 0
    } else {
      let now = MonotonicClock.now
      if calmSince == 0 { calmSince = now }
      guard now - calmSince >= Self.calm else { return }
      // The others see it when they next go to sleep.
      reactor.sharesSource.store(false, ordering: .relaxed)
      calmSince = 0
    }
  }

  /// Whether epoll should say that there are requests. While there is no room for more, it would say so again and again:
  /// any completion makes room, and ``Epoll/Ready/source`` is still set then.
  private var wantsSource: Bool {
    !isSourceBlocked && (isFirst || peers[0].sharesSource.load(ordering: .sequentiallyConsistent))
  }

  mutating func watchSource() {
    guard let source, wantsSource != watchesSource else { return }
    watchesSource.toggle()
    guard watchesSource else { return reactor.epoll.remove(source.descriptor) }
    do { try reactor.epoll.add(source.descriptor, as: .source, [.readable, .exclusive]) } catch { lose(error) }
  }
}
