/// What a ``Reactor``'s thread runs. All its state is here, on that thread.
///
/// Where an operation is, until it is answered:
///
///     mailbox ──> backlog ──┐                      ┌──> returned (the connection was lost)
///                           ├──> the machine ──────┤
///     source ───────────────┘          ↑           └──> handed out, to another reactor
///                 └──> parked (at the gate, or without a connection)
package struct ReactorLoop: ~Copyable {
  /// Milliseconds that a server may take over what is in flight, and over hanging up, once we are to stop.
  private static var stopMilliseconds: Int { 5000 }

  /// Turns that a sleep counts as, for the time until the clock is looked at.
  private static var turnsOfASleep: Int { 32 }

  let reactor: Reactor
  let peers: [Reactor]
  let source: (any RequestSource)?
  package var connection: Connection
  /// The one before it, as long as it settles.
  var retired: Connection?
  /// What a connection before that may still do, and until when.
  var doubts: [(hold: RangeGate.Hold, until: UInt64)] = []
  /// As of the beginning of the turn.
  var stop: Link.Stop
  /// Operations may be begun here: the connection is open, and nothing is stopped.
  var accepts = true
  var isFinishing = false
  /// A flush of ours is under way, for the sake of the write log's room.
  var isMakingRoom = false
  /// Operations from the mailbox that found no room in the machine, oldest first.
  var backlog = Backlog()
  /// Operations, of the source and of the mailbox, that were not sent.
  var parked = ParkedOperations()
  /// Operations that a connection of this reactor could not finish.
  var returned = ReturnedOperations()
  /// Operations that another reactor carries out for this one's source.
  var handedOut = 0
  /// The source may have requests.
  var isSourceReady = true
  var sharing: RequestSharing
  var pacer: Pacer
  /// Turns until the clock is looked at, and when the source was last asked to look after its requests.
  var turnsToWatch = 0
  var lastWatch: UInt64 = 0

  init(
    _ reactor: Reactor, _ channel: consuming Channel, _ leftover: [UInt8], _ peers: [Reactor], _ source: (any RequestSource)?
  ) {
    self.reactor = reactor
    self.peers = peers
    self.source = source
    stop = reactor.link.stop
    connection = Connection(
      channel, reactor.export, leftover: leftover, patience: reactor.timing.patience, log: reactor.link.log, reactor.gate,
      reactor.epoll, reactor.clock)
    sharing = RequestSharing(reactor, among: peers, hasSource: source != nil)
    pacer = Pacer(busyPoll: UInt64(max(reactor.timing.busyPoll, 0)) * 1000)
    do {
      try connection.watch()
      try reactor.epoll.add(reactor.mailbox.wakeup.rawDescriptor, as: .mailbox, [.readable, .edge])
      if let source { try reactor.epoll.add(source.descriptor, as: .source, [.readable, .exclusive]) }
    } catch {
      lose(error)
    }
  }

  mutating func run() {
    // What came with the end of the negotiation.
    if connection.isConnected { drainEvents() }
    while !reactor.shouldStop {
      let worked = turn()
      if worked { pacer.worked(load: connection.machine.load) }
      shareSource()
      if worked {
        continue
      } else if pacer.shouldPoll() {
        // Trying costs less than being woken: see Pacer.
        isSourceReady = true
        connection.isReadable = connection.machine.load > 0
      } else {
        sleep(milliseconds: timeToWatch)
        pacer.woke()
      }
    }
    finish()
  }

  /// One turn. Returns whether there was anything to do.
  mutating func turn() -> Bool {
    stop = reactor.link.stop
    if let next = reactor.takeNext() { adopt(next) }
    let accepted = accepts
    accepts = !stop.isOn && connection.isOpen
    // What has come meanwhile waits, and nobody else says that it need not any more.
    var worked = accepts && !accepted && retryWaiting()
    if takeMailbox() { worked = true }
    watch()
    // Also while all is stopped: what only asks for names and sizes is answered, and what dies can go.
    if let source, isSourceReady, readRequests(source) { worked = true }
    if settle() { worked = true }
    if connection.isConnected, moveBytes() { worked = true }
    if stop.isOn, connection.isOpen ? connection.machine.isIdle : !connection.isConnected { reactor.becameQuiet(stop.number) }
    return worked
  }

  /// The connection's part of a turn.
  private mutating func moveBytes() -> Bool {
    var worked = send()
    if connection.machine.hasEvents {
      // Not everything ends with a reply: an empty operation, or a write that was answered before all of it had left.
      drainEvents()
      worked = true
    }
    if connection.isConnected, connection.isReadable, receive() { worked = true }
    if connection.isLeaving, connection.machine.isIdle { leave() }
    return worked
  }

  /// Sleeps for so long at most. Returns whether something has come.
  @discardableResult
  mutating func sleep(milliseconds: Int32) -> Bool {
    watchSource()
    guard reactor.mailbox.prepareToSleep() else { return true }
    defer { reactor.mailbox.didWake() }
    // A stop has begun or ended in this turn.
    guard reactor.link.stop.number == stop.number else { return true }
    let woken = reactor.epoll.wait(milliseconds: milliseconds)
    // Whatever wakes it before the time is over, it looks after so many of them.
    turnsToWatch = woken.isEmpty ? 0 : turnsToWatch - Self.turnsOfASleep
    if woken.contains(.socket) { connection.isReadable = true }
    if woken.contains(.retired) { retired?.isReadable = true }
    if woken.contains(.source) { isSourceReady = true }
    return !woken.isEmpty
  }

  // MARK: The connection

  mutating func send() -> Bool {
    guard connection.hasOutput else { return false }
    switch connection.send() {
    case .none: return false
    case .some: reactor.traffic.wrappingAdd(1, ordering: .relaxed)
    case .lost(let error, let isFenced):
      // What the server said before it hung up is still worth reading.
      while connection.isConnected, receive() {}
      lose(error, isFenced: isFenced)
    }
    return true
  }

  private mutating func receive() -> Bool {
    switch connection.receive() {
    case .none: return false
    case .some:
      reactor.traffic.wrappingAdd(1, ordering: .relaxed)
      drainEvents()
    case .lost(let error, let isFenced): lose(error, isFenced: isFenced)
    }
    return true
  }

  mutating func drainEvents() {
    do {
      var hasReturned = false
      while let event = try connection.machine.next() {
        switch event {
        case .completed(let completion):
          complete(completion)
        case .returned(let operation):
          hasReturned = true
          noticeShutdown()
          giveBack(ReturnedOperation(operation: operation, fate: .unsent), outcome: .failed(.shutdown))
        case .needsBuffer(let command, let token, let length):
          guard let source else { return lose(.disconnected("an operation without a buffer")) }
          connection.machine.provide(buffer: source.buffer(for: token, length: length), for: command)
        }
      }
      noticeShutdown()
      if let error = connection.machine.takeErrorReply() { reactor.tell(error) }
      if hasReturned { resend() }
      tellOfRoom()
    } catch {
      lose(.violation(error))
    }
  }

  /// The write log may have room again.
  func tellOfRoom() {
    guard let log = reactor.link.log, log.takeRoomNews() else { return }
    for peer in peers { peer.mailbox.gateChanged() }
  }

  // MARK: The end

  /// Drains, disconnects softly, and waits for the server to hang up; within a bound (*Terminating the
  /// transmission phase*).
  private mutating func finish() {
    let deadline = reactor.clock.now + UInt64(Self.stopMilliseconds) * 1_000_000
    isFinishing = true
    backlog.append(reactor.mailbox.close())
    while handedOut > 0 || (connection.isConnected && !(connection.machine.isIdle && backlog.isEmpty)),
      reactor.clock.now < deadline
    {
      makeRoom()
      if !turn() { sleep(milliseconds: 50) }
    }
    endWaiting()
    // A server that does not answer is told as well, unless it has left us in the middle of a message.
    if connection.isConnected, !connection.hasOutput { disconnect(until: deadline) }
    lose(.disconnected("the client has disconnected"))
    _ = takeMailbox()
    // What a peer still has of ours points at memory of this thread's source: it answers within its own bound.
    while handedOut > 0 {
      if !takeMailbox() { sleep(milliseconds: 50) }
    }
  }

  /// Has what waits for room in the write log go on: nobody else flushes any more.
  private mutating func makeRoom() {
    guard !isMakingRoom, accepts, let log = reactor.link.log, log.wantsFlush else { return }
    var flush = Operation(.flush, token: Token(.reactor, 0))
    flush.isForLog = true
    isMakingRoom = connection.machine.submit(flush)
  }

  private mutating func disconnect(until deadline: UInt64) {
    connection.disconnect()
    repeat {
      if !send(), !takeMailbox(), connection.hasOutput { sleep(milliseconds: 50) }
    } while connection.isConnected && connection.hasOutput && reactor.clock.now < deadline
    reactor.stopped()
    connection.endOutput()
    // The server closes when it has seen the disconnect. Closing first could make it see a reset instead.
    while connection.isConnected, reactor.clock.now < deadline {
      if !receive(), !takeMailbox() { sleep(milliseconds: 50) }
    }
  }
}
