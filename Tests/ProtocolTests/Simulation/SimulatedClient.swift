import TestSupport

@testable import NBDProtocol

/// One thing that a caller of the simulation asks for.
final class SimulatedOperation {
  let number: Int
  let command: Command
  /// Of the history.
  let cells: Range<Int>
  let isDurable: Bool
  let buffer: UnsafeMutableRawBufferPointer
  let begin: UInt64
  /// Its number in the history, where it writes.
  var write: Int?
  var pending: UnsafeMutablePointer<PendingOperation>?
  /// A flush that nobody asked for.
  var isForLog = false
  /// Its caller was killed, and what it may do yet is held.
  var isLeft = false
  var hold: RangeGate.Hold?
  let ended: (Outcome) -> Void

  init(
    _ number: Int, _ command: Command, _ cells: Range<Int>, isDurable: Bool, at time: UInt64,
    ended: @escaping (Outcome) -> Void
  ) {
    self.number = number
    self.command = command
    self.cells = cells
    self.isDurable = isDurable
    begin = time
    self.ended = ended
    buffer = .allocate(byteCount: max(cells.count * SimulationPlan.cellSize, 1), alignment: 16)
  }

  deinit {
    buffer.deallocate()
    if let pending {
      pending.deinitialize(count: 1)
      pending.deallocate()
    }
  }

  func operation(_ token: Token) -> Operation {
    let size = UInt64(SimulationPlan.cellSize)
    var operation = Operation(
      command, flags: isDurable ? .fua : [], offset: command == .flush ? 0 : UInt64(cells.lowerBound) * size,
      length: command == .flush ? 0 : UInt64(cells.count) * size, buffer: buffer.baseAddress, token: token)
    operation.isForLog = isForLog
    return operation
  }
}

/// The client: real reactors, as their threads run them, with their machines, gate, link and log; the threads, the callers and the
/// wait in epoll are modelled. A reactor that sleeps has a turn only when epoll says so, or its time has come.
final class SimulatedClient {
  /// A reactor and what its thread does.
  private final class Thread {
    let reactor: Reactor
    var loop: ReactorLoop
    var isAwake = true
    var wakeAt = UInt64.max
    /// What had happened when it was last seen to sleep.
    var seen: UInt64 = 0

    init(_ reactor: Reactor, _ loop: consuming ReactorLoop) {
      self.reactor = reactor
      self.loop = loop
    }
  }

  let world: SimulatedWorld
  let plan: SimulationPlan
  let export: Export
  let gate: RangeGate
  let link: Link
  let log: WriteLog?
  /// Nanoseconds: see ``Reactor/Timing``.
  let quiesce: UInt64
  let reactors: [Reactor]
  private var threads: [Thread] = []
  private let queue: SimulatedSource.Queue?
  /// Where what came through the mailbox comes back to.
  private let mailbox: Mailbox
  var history = SimulatedHistory()
  private(set) var inFlight: [Int: SimulatedOperation] = [:]
  private(set) var count = 0
  private var lastValue = SimulatedHistory.initial
  private let hasLogNews: NewsFlag

  /// Set by the log, looked at by whoever keeps it.
  final class NewsFlag: @unchecked Sendable { var isSet = false }

  init(_ world: SimulatedWorld, _ plan: SimulationPlan, isLogged: Bool, quiesce: UInt64, _ server: SimulatedServer) throws {
    self.world = world
    self.plan = plan
    self.quiesce = quiesce
    export = plan.export
    gate = RangeGate(minimumBlock: plan.block)
    let flag = NewsFlag()
    hasLogNews = flag
    log = isLogged ? try WriteLog(capacity: 1 << 20, hasNews: { flag.isSet = true }) : nil
    link = Link(mayWait: true, log: log)
    mailbox = try Mailbox()
    queue = plan.usesSource ? try SimulatedSource.Queue() : nil
    var timing = plan.timing
    timing.quiesce = quiesce
    var reactors: [Reactor] = []
    for _ in 0..<plan.connections {
      reactors.append(try Reactor(export, gate, link, timing, clock: .settable(world.clock)))
    }
    self.reactors = reactors
    for reactor in reactors {
      let source = queue.map { SimulatedSource(self, $0) }
      threads.append(Thread(reactor, ReactorLoop(reactor, Channel(server.accept()), [], reactors, source)))
    }
  }

  // MARK: Threads

  /// Gives each thread that is awake a turn. Returns whether anything has happened.
  func step() -> Bool {
    var worked = false
    for index in threads.indices.shuffled(using: &world.random) {
      let thread = threads[index]
      if !thread.isAwake, thread.seen != world.changes || world.now >= thread.wakeAt {
        thread.seen = world.changes
        thread.isAwake = thread.loop.sleep(milliseconds: 0) || world.now >= thread.wakeAt
      }
      guard thread.isAwake else { continue }
      let hasWorked = thread.loop.turn()
      thread.loop.shareSource()
      world.changed()
      if hasWorked {
        worked = true
        continue
      }
      thread.seen = world.changes
      thread.isAwake = thread.loop.sleep(milliseconds: 0)
      if thread.isAwake { worked = true } else { rest(thread) }
    }
    while let pending = takeReturned() {
      worked = true
      end(Int(pending.number), pending.outcome, data: nil)
    }
    return worked
  }

  private func rest(_ thread: Thread) {
    let milliseconds = thread.loop.timeToWatch
    thread.wakeAt = milliseconds < 0 ? .max : world.now + UInt64(milliseconds) * 1_000_000
    if milliseconds >= 0 { world.at(thread.wakeAt) {} }
  }

  private var returned: UnsafeMutablePointer<PendingOperation>?

  private func takeReturned() -> (number: UInt, outcome: Outcome)? {
    if returned == nil { returned = mailbox.takeReturned() }
    guard let pending = returned else { return nil }
    returned = pending.pointee.next
    guard case .reactor(_, let token) = pending.pointee.waiter else { return nil }
    return (token.value, pending.pointee.outcome)
  }

  /// What is left behind though nothing is asked for any more; nil where nothing is.
  var leftovers: String? {
    if !gate.isEmpty { return "ranges are held" }
    for thread in threads where !thread.loop.parked.isEmpty || !thread.loop.returned.isEmpty || thread.loop.handedOut > 0 {
      return "operations wait that nobody has asked for"
    }
    if let log, log.isEmpty, !log.reserve(UInt64(log.capacity), .write) { return "room in the log is lost" }
    return nil
  }

  /// The log has called since this was last asked.
  func takeLogNews() -> Bool {
    defer { hasLogNews.isSet = false }
    return hasLogNews.isSet
  }

  // MARK: Operations

  func read(_ cells: Range<Int>, ended: @escaping (Outcome) -> Void) { submit(.read, cells, false, ended) }

  func write(_ cells: Range<Int>, isDurable: Bool, ended: @escaping (Outcome) -> Void) {
    lastValue += 1
    submit(.write, cells, isDurable, ended)
  }

  func zero(_ cells: Range<Int>, isDurable: Bool, ended: @escaping (Outcome) -> Void) {
    submit(.writeZeroes, cells, isDurable, ended)
  }

  /// - Parameter isAsked: by a caller, who learns what was lost; otherwise on our own account.
  func flush(isAsked: Bool = true, ended: @escaping (Outcome) -> Void) {
    let begin = world.tick()
    submit(.flush, 0..<0, false, isForLog: !isAsked) { [unowned self] outcome in
      history.flushed(from: begin, to: world.tick(), isSuccess: outcome.isSuccess, isAsked: isAsked)
      ended(outcome)
    }
  }

  private func submit(
    _ command: Command, _ cells: Range<Int>, _ isDurable: Bool, isForLog: Bool = false, _ ended: @escaping (Outcome) -> Void
  ) {
    count += 1
    let operation = SimulatedOperation(count, command, cells, isDurable: isDurable, at: world.tick(), ended: ended)
    operation.isForLog = isForLog
    inFlight[count] = operation
    world.note("begin", [count, Int(command.rawValue), cells.lowerBound, cells.count], isDurable ? "durable" : "")
    if command.mutates {
      let value = command == .write ? lastValue : 0
      operation.write = history.begin(value, cells, isDurable: isDurable, at: operation.begin)
      let bytes = SimulatedHistory.contents(of: value)
      for cell in 0..<cells.count {
        UnsafeMutableRawBufferPointer(rebasing: operation.buffer[(cell * SimulationPlan.cellSize)...]).copyBytes(from: bytes)
      }
    }
    // What a program of the library asks for, and our own flushes, come through the mailbox under either engine.
    if let queue, command != .flush || world.chance(50) { return queue.append(count) }
    submitThroughMailbox(operation)
  }

  private func submitThroughMailbox(_ operation: SimulatedOperation) {
    guard let reactor = reactors.choose(for: operation.command, of: export) ?? (link.canWait ? reactors[0] : nil) else {
      return end(operation.number, .connectionLost, data: nil)
    }
    let pending = UnsafeMutablePointer<PendingOperation>.allocate(capacity: 1)
    pending.initialize(
      to: PendingOperation(
        operation.operation(pending.token), waiter: .reactor(mailbox, Token(.mailbox, UInt(operation.number)))))
    operation.pending = pending
    reactor.submit(pending)
  }

  /// Kills the caller of a write that waits. Returns whether there is one.
  func kill(_ number: Int) -> Bool {
    guard let operation = inFlight[number], let pending = operation.pending, !operation.isLeft, operation.command.mutates else {
      return false
    }
    operation.isLeft = true
    operation.hold = pending.leave(gate, reactors)
    world.note("kill", [number], operation.hold == nil ? "not sent" : "held")
    return true
  }

  /// An operation has ended.
  func end(_ number: Int, _ outcome: Outcome, data: UnsafeMutableRawPointer?) {
    guard let operation = inFlight.removeValue(forKey: number) else {
      return world.fail("operation \(number) has ended, which nobody waits for")
    }
    let time = world.tick()
    world.note("end", [number], "\(outcome)")
    if let write = operation.write { history.end(write, outcome, at: time) }
    if let hold = operation.hold { gate.release(hold) }
    if operation.command == .read, outcome.isSuccess {
      let bytes = UnsafeRawBufferPointer(
        start: data.map { UnsafeRawPointer($0) } ?? UnsafeRawPointer(operation.buffer.baseAddress), count: operation.buffer.count)
      check(bytes, operation.cells, from: operation.begin, to: time, "operation \(number)")
    }
    operation.ended(outcome)
  }

  func check(
    _ bytes: some RandomAccessCollection<UInt8>, _ cells: Range<Int>, from begin: UInt64, to end: UInt64, _ what: String
  ) {
    for (place, cell) in cells.enumerated() {
      let start = bytes.index(bytes.startIndex, offsetBy: place * SimulationPlan.cellSize)
      let value = SimulatedHistory.value(of: bytes[start..<bytes.index(start, offsetBy: SimulationPlan.cellSize)])
      if let fault = history.fault(cell, value, from: begin, to: end) { world.fail("\(what): \(fault)") }
    }
  }
}
