import CLinux
import Glibc
import SystemPackage

/// What a ``Reactor``'s thread runs. All its state is here, on that thread.
package struct ReactorLoop: ~Copyable {
  /// Milliseconds that a server may take over what is in flight, and over hanging up, once we are to stop.
  private static var stopMilliseconds: Int { 5000 }

  let reactor: Reactor
  let peers: [Reactor]
  let source: (any RequestSource)?
  let socket: OwnedDescriptor
  package var machine: TransmissionMachine
  /// Operations from the mailbox that found no room in the machine, oldest first.
  var backlog = Backlog()
  /// Mutating operations, of the source and of the mailbox, that wait at the gate.
  var parked = ParkedOperations()
  /// Operations that another reactor carries out for this one's source.
  var handedOut = 0
  package internal(set) var isConnected = true
  /// The server said that it goes away (`NBD_ESHUTDOWN`): what is in flight is finished, nothing is begun.
  var isShuttingDown = false
  /// Holds what a server that was given up, or goes away, may still write.
  var doubt: RangeGate.Hold?
  /// Until when a connection that was lost is read on, in nanoseconds of ``MonotonicClock``; 0 where it is not.
  var settlesUntil: UInt64 = 0
  /// What `epoll` said, until a system call has said otherwise.
  var ready: Epoll.Ready = [.socket, .source]
  private var watchesWritable = false
  var watchesSource = true
  /// The source has more requests than there is room for.
  var isSourceBlocked = false
  var pacer: Pacer
  /// Nil where the kernel itself says that the peer is gone: on all sockets but TCP's.
  var peerWatch: PeerWatch?
  /// Turns until the clock is looked at, and when the source was last asked to look after its requests.
  var turnsToWatch = 0
  var lastWatch: UInt64 = 0
  /// Whether this one reads requests whatever comes, and whether it has others to call. See ReactorLoop+Source.
  let isFirst: Bool
  let leadsOthers: Bool
  /// Since when no reactor has been crowded; 0 before anybody looked.
  var calmSince: UInt64 = 0

  init(
    _ reactor: Reactor, _ socket: consuming OwnedDescriptor, _ leftover: [UInt8], _ peers: [Reactor],
    _ source: (any RequestSource)?
  ) {
    self.reactor = reactor
    self.socket = socket
    self.peers = peers
    self.source = source
    isFirst = peers.first === reactor
    leadsOthers = isFirst && peers.count > 1 && source != nil
    pacer = Pacer(busyPoll: reactor.busyPoll)
    machine = TransmissionMachine(reactor.export, leftover: leftover)
    if (try? Syscall.tcpInformation(self.socket.rawValue)) != nil { peerWatch = PeerWatch(patience: reactor.patience) }
    do {
      try reactor.epoll.add(self.socket.rawValue, as: .socket, .readable)
      try reactor.epoll.add(reactor.mailbox.wakeup.rawDescriptor, as: .mailbox, [.readable, .edge])
      if let source { try reactor.epoll.add(source.descriptor, as: .source, [.readable, .exclusive]) }
    } catch {
      lose(error)
    }
  }

  mutating func run() {
    // What came with the end of the negotiation.
    if isConnected { drainEvents() }
    while !reactor.shouldStop {
      let worked = turn()
      if worked { pacer.worked(load: machine.load) }
      shareSource()
      if worked {
        continue
      } else if pacer.shouldPoll() {
        // Trying costs less than being woken: see Pacer.
        ready = machine.load > 0 ? [.socket, .source] : .source
      } else {
        sleep(milliseconds: timeToWatch)
        pacer.woke()
      }
    }
    finish()
  }

  /// One turn. Returns whether there was anything to do.
  private mutating func turn() -> Bool {
    var worked = takeMailbox()
    watch()
    if let source, ready.contains(.source), readRequests(source) { worked = true }
    guard isConnected else { return settle() || worked }
    if send() { worked = true }
    if machine.hasEvents {
      // Not everything ends with a reply: an empty operation, or a write that was answered before all of it had left.
      drainEvents()
      worked = true
    }
    if isConnected, ready.contains(.socket), receive() { worked = true }
    if isShuttingDown, isConnected, machine.isIdle { leave() }
    return worked
  }

  private mutating func sleep(milliseconds: Int32) {
    watchSource()
    guard reactor.mailbox.prepareToSleep() else { return }
    let woken = reactor.epoll.wait(milliseconds: milliseconds)
    if woken.isEmpty { turnsToWatch = 0 }
    ready.formUnion(woken)
    reactor.mailbox.didWake()
  }

  // MARK: Socket

  mutating func send() -> Bool {
    guard !machine.output.isEmpty else { return false }
    // Of at most 1024 bytes: a larger temporary allocation is one on the heap, for each send.
    let result = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 64) { vectors in
      var message = msghdr()
      message.msg_iov = vectors.baseAddress
      message.msg_iovlen = machine.output.fill(vectors)
      return sendmsg(socket.rawValue, &message, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
    let error = Errno(rawValue: errno)
    if result >= 0 {
      machine.sent(result)
      reactor.traffic.wrappingAdd(1, ordering: .relaxed)
    } else if Self.isShortOfMemory(error) {
      usleep(Self.napMicroseconds)
    } else if error != .wouldBlock && error != .interrupted {
      // What the server said before it hung up is still worth reading.
      while isConnected, receive() {}
      lose(.disconnected("the connection to the server broke: \(error)"), isFenced: error.isFence)
      return true
    }
    watchWritable(!machine.output.isEmpty)
    return result > 0
  }

  /// The kernel had no memory for it, which passes: it is to be tried again, but not at once.
  private static func isShortOfMemory(_ error: Errno) -> Bool { error == .noBufferSpace || error == .noMemory }
  private static var napMicroseconds: UInt32 { 5000 }

  private mutating func watchWritable(_ isWanted: Bool) {
    guard isWanted != watchesWritable, isConnected else { return }
    watchesWritable = isWanted
    do {
      try reactor.epoll.modify(socket.rawValue, as: .socket, isWanted ? [.readable, .writable] : .readable)
    } catch { lose(error) }
  }

  private mutating func receive() -> Bool {
    var room = 0
    let count = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 2) { vectors in
      guard let base = vectors.baseAddress else { return 0 }
      var message = msghdr()
      message.msg_iovlen = machine.receiveVectors(base)
      message.msg_iov = base
      for index in 0..<message.msg_iovlen { room += base[index].iov_len }
      return recvmsg(socket.rawValue, &message, Int32(MSG_DONTWAIT))
    }
    let error = Errno(rawValue: errno)
    if count > 0 {
      // A stream that gave less than there was room for is empty.
      if count < room { ready.remove(.socket) }
      machine.received(count)
      reactor.traffic.wrappingAdd(1, ordering: .relaxed)
      drainEvents()
    } else if count == 0 {
      lose(.disconnected("the server closed the connection"), isFenced: true)
    } else if error == .wouldBlock || error == .interrupted {
      ready.remove(.socket)
      return false
    } else if Self.isShortOfMemory(error) {
      usleep(Self.napMicroseconds)
      return false
    } else {
      lose(.disconnected("the connection to the server broke: \(error)"), isFenced: error.isFence)
    }
    return true
  }

  mutating func drainEvents() {
    do {
      while let event = try machine.next() {
        switch event {
        case .completed(let completion):
          complete(completion)
        case .needsBuffer(let command, let token, let length):
          guard let source else { return lose(.disconnected("an operation without a buffer")) }
          machine.provide(buffer: source.buffer(for: token, length: length), for: command)
        }
      }
      noticeShutdown()
    } catch {
      lose(.violation(error))
    }
  }

  // MARK: The end

  /// Drains, disconnects softly, and waits for the server to hang up; within a bound (*Terminating the
  /// transmission phase*).
  private mutating func finish() {
    let deadline = MonotonicClock.now + UInt64(Self.stopMilliseconds) * 1_000_000
    backlog.append(reactor.mailbox.close())
    while handedOut > 0 || (isConnected && !(machine.isIdle && backlog.isEmpty)), MonotonicClock.now < deadline {
      if !turn() { sleep(milliseconds: 50) }
    }
    endParked()
    // A server that does not answer is told as well, unless it has left us in the middle of a message.
    if isConnected, machine.output.isEmpty { disconnect(until: deadline) }
    lose(.disconnected("the client has disconnected"))
    _ = takeMailbox()
    // What a peer still has of ours points at memory of this thread's source: it answers within its own bound.
    while handedOut > 0 {
      if !takeMailbox() { sleep(milliseconds: 50) }
    }
  }

  private mutating func disconnect(until deadline: UInt64) {
    isShuttingDown = true
    machine.disconnect()
    repeat {
      if !send(), !takeMailbox(), !machine.output.isEmpty { sleep(milliseconds: 50) }
    } while isConnected && !machine.output.isEmpty && MonotonicClock.now < deadline
    reactor.stopped()
    shutdown(socket.rawValue, Int32(SHUT_WR))
    // The server closes when it has seen the disconnect. Closing first could make it see a reset instead.
    while isConnected, MonotonicClock.now < deadline {
      if !receive(), !takeMailbox() { sleep(milliseconds: 50) }
    }
  }
}
