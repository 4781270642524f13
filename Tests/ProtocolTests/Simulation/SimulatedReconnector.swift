import TestSupport

@testable import NBDProtocol

/// The thread that connects again, and the one that keeps the log: their decisions are the real ones (``Recovery``,
/// ``Admission``, ``LogReplay``, ``FlushRule``); their waits, and the negotiation, are modelled.
final class SimulatedReconnector {
  private enum State {
    case watching
    /// More losses may come.
    case gathering(until: UInt64)
    case connecting
    case admitting(Admission, stop: UInt64, NegotiatedConnection)
    case replaying
    /// A server that was given up may still do what it was sent of the log.
    case unfinished(UnfinishedReplay)
    case over
  }

  private let world: SimulatedWorld
  private let client: SimulatedClient
  private let server: SimulatedServer
  private let omission: SimulationPlan.Omission?
  private var recovery: Recovery
  private var state = State.watching
  private var wakeAt: UInt64 = 0
  private var way = 0
  private var replay: Replaying?
  private var keeper = FlushRule()
  private var isFlushing = false
  private var keeperWakesAt: UInt64 = .max
  private var seen: UInt64 = 0
  private(set) var losses = 0
  private(set) var replays = 0

  /// A log on its way, over a connection that nobody else has.
  private final class Replaying {
    var channel: Channel?
    var replay: LogReplay
    let since: UInt64
    /// Where the order is left out: what was not answered yet.
    private var left: Int?
    private var isFlushing = false
    /// The server has ended the connection.
    private var isFenced = false

    init(_ channel: consuming Channel, _ replay: consuming LogReplay, at now: UInt64) {
      self.channel = consume channel
      self.replay = replay
      since = now
    }

    func step(_ log: WriteLog, isOrdered: Bool) throws(NBDError) -> Bool {
      try isOrdered ? replay.step() : stepWithoutOrder(log)
    }

    /// The rule left out: all at once, and then the flush.
    private func stepWithoutOrder(_ log: WriteLog) throws(NBDError) -> Bool {
      if left == nil {
        var count = 0
        log.forEach { if replay.machine.submit($0.operation) { count += 1 } }
        left = count
      }
      do {
        while let event = try replay.machine.next() { if case .completed = event { left? -= 1 } }
      } catch { throw .violation(error) }
      guard left == 0 else { return false }
      if isFlushing {
        log.flushed(upTo: log.position)
        return true
      }
      isFlushing = true
      left = replay.machine.submit(Operation(.flush, token: Token(.reactor, 0))) ? 1 : 0
      return false
    }

    /// Ends it. Returns what the server may still do.
    func giveUp(_ error: NBDError, _ gate: RangeGate, until: UInt64) -> UnfinishedReplay? {
      guard let channel = channel.take() else { return nil }
      return isFenced ? nil : UnfinishedReplay(channel, isBroken: false, replay.machine, gate, until: until)
    }

    /// Moves what can be moved. Returns whether anything was.
    func move() throws(NBDError) -> Bool {
      var worked = false
      if !replay.machine.output.isEmpty, let sent = channel?.send(&replay.machine) { worked = try check(sent) }
      if let received = channel?.receive(&replay.machine).result, try check(received) { worked = true }
      return worked
    }

    private func check(_ result: Channel.Result) throws(NBDError) -> Bool {
      switch result {
      case .moved: return true
      case .notNow, .shortOfMemory: return false
      case .ended: isFenced = true
      case .broken(let error): isFenced = error.isFence
      }
      throw .disconnected("the server has hung up")
    }
  }

  init(
    _ world: SimulatedWorld, _ client: SimulatedClient, _ server: SimulatedServer, without omission: SimulationPlan.Omission?
  ) {
    self.world = world
    self.client = client
    self.server = server
    self.omission = omission
    recovery = Recovery(connections: client.plan.connections, ways: client.plan.ways, window: client.plan.window)
  }

  /// There will be no connection any more.
  var hasGivenUp: Bool { if case .over = state { true } else { false } }
  /// All connections live.
  var isWhole: Bool { if case .watching = state { recovery.lost.isEmpty } else { false } }

  /// Returns whether anything has happened.
  func step() -> Bool {
    let hasFlushed = keep()
    let isNews = world.changes != seen && client.link.news.wait(milliseconds: 0)
    seen = world.changes
    switch state {
    case .over, .connecting: return hasFlushed
    case .replaying: return goOn() || hasFlushed
    case .unfinished(let replay):
      guard replay.hasEnded(at: world.now) || recovery.isExpired(at: world.now) else { return hasFlushed }
      failed()
    case .watching where isNews || world.now >= wakeAt: watch()
    case .gathering(let until) where isNews || world.now >= until: gather(until)
    case .admitting(let admission, let stop, let connection) where isNews || world.now >= wakeAt:
      admit(admission, stop, connection)
    case .watching, .gathering, .admitting: return hasFlushed
    }
    return true
  }

  // MARK: Losses

  private func takeLosses() -> Bool {
    let before = recovery.alive
    let areNew = recovery.takeLosses(of: client.reactors, at: world.now, random: world.random.next()).areNew
    losses += before - recovery.alive
    if areNew { world.note("lost", [before - recovery.alive]) }
    return areNew
  }

  private func watch() {
    if takeLosses(), recovery.alive > 0 {
      state = .gathering(until: world.now + 20_000_000)
      return world.after(20_000_000) {}
    }
    decide()
  }

  private func gather(_ until: UInt64) {
    _ = takeLosses()
    if world.now >= until || recovery.alive == 0 { decide() }
  }

  private func decide() {
    state = .watching
    wakeAt = .max
    switch recovery.next(at: world.now) {
    case .rest: return
    case .wait(let until):
      wakeAt = until
      world.at(until) {}
    case .connect(let way): connect(way)
    case .giveUp:
      world.note("given up")
      client.link.fail(.disconnected("there is no connection"), client.reactors)
      state = .over
    }
  }

  // MARK: A new connection

  private func connect(_ way: Int) {
    state = .connecting
    self.way = way
    let isSlow = !server.isCalm && world.chance(10)
    world.after(world.milliseconds(isSlow ? 1000...5000 : 0...20)) { [unowned self] in
      let isRefused = !server.isListening || (!server.isCalm && world.chance(10))
      world.note("connect", [way, isRefused ? 0 : 1])
      if isRefused { return failed() }
      let connection = NegotiatedConnection(Channel(server.accept()), server.export, leftover: [], notes: [])
      if !server.isCalm, world.chance(15) { world.after(world.milliseconds(0...30)) { [unowned self] in server.fault() } }
      join(connection)
    }
  }

  private func failed() {
    recovery.failed(at: world.now, random: world.random.next())
    state = .watching
    wakeAt = 0
  }

  private func join(_ new: NegotiatedConnection) {
    guard new.export.difference(from: client.export, isReadOnly: false) == nil else { return failed() }
    let connection = NegotiatedConnection(taking: new, contextsAsIn: client.export)
    let stop = omission == .stop ? 0 : client.link.stopAll(client.reactors)
    admit(Admission(stoppedAt: world.now), stop, connection)
  }

  private func admit(_ admission: Admission, _ stop: UInt64, _ connection: NegotiatedConnection) {
    let isQuiet = omission == .stop || client.reactors.allSatisfy { $0.isQuiet(since: stop) }
    switch admission.next(isQuiet: isQuiet, at: world.now) {
    case .wait(let until):
      state = .admitting(admission, stop: stop, connection)
      wakeAt = until
      world.at(until) {}
    case .putOff:
      world.note("put off")
      resume()
      failed()
    case .join:
      guard let log = client.log, !log.isEmpty else { return give(connection) }
      guard let channel = connection.takeChannel() else { return world.fail("a connection is driven already") }
      replay = Replaying(channel, LogReplay(log, connection.export, leftover: connection.leftover), at: world.now)
      state = .replaying
      world.note("replay")
      // The thread waits no longer for a server that says nothing.
      world.after(10_000_000_000) {}
    }
  }

  private func resume() { if omission != .stop { client.link.resumeAll(client.reactors) } }

  private func give(_ connection: NegotiatedConnection) {
    guard let index = recovery.lost.first else { return world.fail("nothing is lost that could be replaced") }
    client.reactors[index].give(connection)
    resume()
    recovery.made(index, way: way, at: world.now)
    world.note("made", [index])
    state = .watching
    wakeAt = 0
  }

  /// Sends more of the log. Returns whether anything has happened.
  private func goOn() -> Bool {
    guard let replay, let log = client.log else { return false }
    do throws(NBDError) {
      if try replay.step(log, isOrdered: omission != .order) {
        guard let channel = replay.channel.take() else { return false }
        world.note("replayed", [replay.replay.count])
        replays += 1
        if replay.replay.hasFailed { client.history.lose(at: world.tick(), isOfAll: true) }
        self.replay = nil
        give(NegotiatedConnection(channel, server.export, leftover: [], notes: []))
        return true
      }
      guard world.now < replay.since + 10_000_000_000 else { throw .timedOut("the server does not answer") }
      return try replay.move()
    } catch {
      world.note("replay failed", [], "\(error)")
      self.replay = nil
      let unfinished = replay.giveUp(error, client.gate, until: world.now + client.quiesce)
      resume()
      guard let unfinished else {
        failed()
        return true
      }
      state = .unfinished(unfinished)
      // The thread looks every 300 ms whether there is still a point in it.
      for time in stride(from: world.now, through: world.now + client.quiesce + 300_000_000, by: 300_000_000) { world.at(time) {} }
      return true
    }
  }

  // MARK: The log

  /// What ``LogKeeper`` does. Returns whether anything has happened.
  private func keep() -> Bool {
    guard let log = client.log, !isFlushing, client.takeLogNews() || world.now >= keeperWakesAt else { return false }
    keeperWakesAt = .max
    switch keeper.next(isEmpty: log.isEmpty, wantsFlush: log.wantsFlush, at: world.now) {
    case .rest: return false
    case .wait(let until):
      keeperWakesAt = until
      world.at(until) {}
    case .flush:
      isFlushing = true
      client.flush(isAsked: false) { [unowned self] _ in
        isFlushing = false
        keeperWakesAt = 0
      }
    }
    return true
  }
}
