import CLinux
import Glibc
import SystemPackage

/// What a ``Reactor``'s thread runs. All its state is here, on that thread.
struct ReactorLoop<Source: RequestSource>: ~Copyable {
  /// Milliseconds that a server may take over what is in flight, and over hanging up, once we are to stop.
  private static var stopMilliseconds: Int { 5000 }

  private let reactor: Reactor<Source>
  private let source: Source
  private let socket: OwnedDescriptor
  private let epoll: Epoll
  private var machine: TransmissionMachine
  /// Operations that found no room in the machine, oldest first.
  private var backlog: UnsafeMutablePointer<PendingOperation>?
  private var backlogEnd: UnsafeMutablePointer<PendingOperation>?
  private var isConnected = true
  private var watchesWritable = false
  /// The server said that it goes away (`NBD_ESHUTDOWN`): what is in flight is finished, nothing is begun.
  private var isShuttingDown = false

  /// Names in the epoll set.
  private enum Name {
    static var socket: Int { 0 }
    static var mailbox: Int { 1 }
    static var source: Int { 2 }
  }

  init(_ reactor: Reactor<Source>, _ socket: consuming OwnedDescriptor, _ leftover: [UInt8], _ source: Source) {
    self.reactor = reactor
    self.socket = socket
    self.source = source
    machine = TransmissionMachine(reactor.export, leftover: leftover)
    epoll = reactor.epoll
    do {
      try epoll.add(self.socket.rawValue, name: Name.socket, .readable)
      try epoll.add(reactor.mailbox.wakeup.rawDescriptor, name: Name.mailbox, [.readable, .edge])
      if let descriptor = source.descriptor { try epoll.add(descriptor, name: Name.source, .readable) }
    } catch {
      lose(error)
    }
  }

  mutating func run() {
    var lastWork = now()
    while !reactor.shouldStop {
      if turn() > 0 {
        if reactor.busyPoll > 0 { lastWork = now() }
        continue
      }
      if reactor.busyPoll > 0, now() - lastWork < reactor.busyPoll { continue }
      sleep(milliseconds: -1)
    }
    finish()
  }

  /// One turn. Returns how much it found to do.
  private mutating func turn() -> Int {
    var work = takeMailbox()
    guard isConnected else { return work + source.refuseRequests() }
    if !isShuttingDown { work += source.readRequests(into: &machine) }
    work += send()
    if machine.hasEvents {
      // Not everything ends with a reply: an empty operation, or a write that was answered before all of it had left.
      drainEvents()
      work += 1
    }
    if isConnected { work += receive() }
    if isShuttingDown, isConnected, machine.isIdle { leave() }
    return work
  }

  private mutating func sleep(milliseconds: Int32) {
    guard reactor.mailbox.prepareToSleep() else { return }
    epoll.wait(milliseconds: milliseconds)
    reactor.mailbox.didWake()
  }

  // MARK: Mailbox

  private mutating func takeMailbox() -> Int {
    var work = 0
    // Taken before the operations: whatever these cancel was left in the mailbox before them, and so is found below.
    let cancellations = reactor.mailbox.takeCancellations()
    if let first = reactor.mailbox.takeAll() {
      appendToBacklog(first)
      work = 1
    }
    while let pending = backlog {
      guard isConnected, !isShuttingDown else {
        popBacklog()
        deliver(pending, .connectionLost)
        continue
      }
      guard machine.submit(pending.pointee.operation) else { break }
      popBacklog()
      work += 1
    }
    for cancellation in cancellations { cancel(cancellation) }
    return work
  }

  private mutating func appendToBacklog(_ first: UnsafeMutablePointer<PendingOperation>) {
    if let end = backlogEnd { end.pointee.next = first } else { backlog = first }
    var last = first
    while let next = last.pointee.next { last = next }
    backlogEnd = last
  }

  private mutating func popBacklog() {
    backlog = backlog?.pointee.next
    if backlog == nil { backlogEnd = nil }
  }

  private mutating func cancel(_ cancellation: Mailbox.Cancellation) {
    let target = UnsafeMutablePointer<PendingOperation>(cancellation.token)
    var previous: UnsafeMutablePointer<PendingOperation>?
    var link = backlog
    var isWaiting = false
    while let current = link {
      if current == target {
        if let previous { previous.pointee.next = current.pointee.next } else { backlog = current.pointee.next }
        if backlogEnd == current { backlogEnd = previous }
        isWaiting = true
        break
      }
      previous = current
      link = current.pointee.next
    }
    if isWaiting, let target {
      deliver(target, .abandoned)
    } else if isConnected {
      machine.abandon(cancellation.token)
      drainEvents()
    }
    if let semaphore = UnsafeMutablePointer<sem_t>(bitPattern: cancellation.acknowledged) { sem_post(semaphore) }
  }

  private func deliver(_ pending: UnsafeMutablePointer<PendingOperation>, _ outcome: Outcome) {
    reactor.load.subtract(1, ordering: .relaxed)
    pending.signal(outcome)
  }

  // MARK: Socket

  private mutating func send() -> Int {
    guard !machine.output.isEmpty else { return 0 }
    let result = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 256) { vectors in
      var message = msghdr()
      message.msg_iov = vectors.baseAddress
      message.msg_iovlen = machine.output.fill(vectors)
      return sendmsg(socket.rawValue, &message, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
    if result >= 0 {
      machine.sent(result)
    } else {
      let error = Errno(rawValue: errno)
      if error != .wouldBlock && error != .interrupted {
        // What the server said before it hung up is still worth reading.
        while isConnected, receive() > 0 {}
        if isConnected { lose(.disconnected("the connection to the server broke: \(error)")) }
        return 1
      }
    }
    watchWritable(!machine.output.isEmpty)
    return result > 0 ? 1 : 0
  }

  private mutating func watchWritable(_ isWanted: Bool) {
    guard isWanted != watchesWritable else { return }
    watchesWritable = isWanted
    do {
      try epoll.modify(socket.rawValue, name: Name.socket, isWanted ? [.readable, .writable] : .readable)
    } catch { lose(error) }
  }

  private mutating func receive() -> Int {
    let count = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 2) { vectors in
      guard let base = vectors.baseAddress else { return 0 }
      var message = msghdr()
      message.msg_iovlen = machine.receiveVectors(base)
      message.msg_iov = base
      return recvmsg(socket.rawValue, &message, Int32(MSG_DONTWAIT))
    }
    if count > 0 {
      machine.received(count)
      drainEvents()
      return 1
    }
    if count == 0 {
      lose(.disconnected("the server closed the connection"))
      return 1
    }
    let error = Errno(rawValue: errno)
    if error != .wouldBlock && error != .interrupted {
      lose(.disconnected("the connection to the server broke: \(error)"))
      return 1
    }
    return 0
  }

  private mutating func drainEvents() {
    do {
      while let event = try machine.next() {
        switch event {
        case .completed(let completion): complete(completion)
        case .needsBuffer(let command, let token, let length):
          machine.provide(buffer: source.buffer(for: token, length: length), for: command)
        }
      }
    } catch {
      lose(.violation(error))
    }
  }

  private mutating func complete(_ completion: Completion) {
    if case .failed(.shutdown) = completion.outcome, !isShuttingDown {
      isShuttingDown = true
      // Known to all before the caller is woken: what comes next belongs on another connection.
      reactor.lost(.disconnected("the server is shutting down"))
    }
    switch completion.token.origin {
    case .source:
      source.complete(completion, of: &machine)
    case .mailbox:
      guard let pending = UnsafeMutablePointer<PendingOperation>(completion.token) else { return }
      if pending.pointee.operation.command == .blockStatus {
        pending.pointee.extents = machine.takeExtents(completion.token)
      }
      deliver(pending, completion.outcome)
    case .reactor: break
    }
  }

  // MARK: Ends

  /// The server has announced that it goes away, and all that it still had to answer is answered: disconnect softly.
  private mutating func leave() {
    machine.disconnect()
    _ = send()
    lose(.disconnected("the server is shutting down"))
  }

  /// The connection is of no use any more: everything in flight ends now, and whatever comes later ends at once.
  private mutating func lose(_ error: NBDError) {
    guard isConnected else { return }
    isConnected = false
    reactor.lost(error)
    epoll.remove(socket.rawValue)
    shutdown(socket.rawValue, Int32(SHUT_RDWR))
    var lost: [Completion] = []
    machine.fail { lost.append($0) }
    for completion in lost { complete(completion) }
  }

  /// Drains, disconnects softly, and waits for the server to hang up; within a bound (*Terminating the
  /// transmission phase*).
  private mutating func finish() {
    let deadline = now() + UInt64(Self.stopMilliseconds) * 1_000_000
    if let first = reactor.mailbox.close() { appendToBacklog(first) }
    while isConnected, !(machine.isIdle && backlog == nil), now() < deadline {
      if turn() == 0 { sleep(milliseconds: 50) }
    }
    if isConnected, machine.isIdle {
      machine.disconnect()
      while isConnected, !machine.output.isEmpty, now() < deadline {
        if send() == 0 { sleep(milliseconds: 50) }
      }
      reactor.stopped()
      shutdown(socket.rawValue, Int32(SHUT_WR))
      // The server closes when it has seen the disconnect. Closing first could make it see a reset instead.
      while isConnected, now() < deadline {
        if receive() == 0 { sleep(milliseconds: 50) }
      }
    }
    lose(.disconnected("the client has disconnected"))
    _ = takeMailbox()
    for cancellation in reactor.mailbox.closeCancellations() { cancel(cancellation) }
  }

  private func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
