import TestSupport

@testable import NBDProtocol

/// One run of clients, reactors and a server that fails, decided by a seed alone.
///
/// Theory of operation. Time is virtual: while anybody has something to do, all have turns, in random order; then the clock goes on
/// to the next moment at which something is to happen.
///
/// | real | modelled |
/// |---|---|
/// | the reactors' turns, what they park, hand over, give back and send again | their threads, and the order of their turns |
/// | machines, gate, link, write log | the server, its cache, its disk, and all that happens to them |
/// | when and where to connect, to join, to send the log again, to flush | the negotiation, and the waits of those threads |
/// | the bytes, over socket pairs, and what epoll says | callers, and the kernel's queue of requests |
///
/// Callers write, each time another value, zero, read and flush, beside each other and over each other; ``SimulatedHistory`` says
/// what each read may see. At the end the server goes on undisturbed: everything has to end, all that was answered is read, and,
/// after a flush, is on the disk without the cache. Nothing may be left that is held or waits.
final class Simulation {
  /// What became of it.
  struct Result {
    var failures: [String]
    var digest: UInt64
    var trace: [String]
    var operations = 0
    var crashes = 0
    var losses = 0
    var replays = 0
  }

  private let world: SimulatedWorld
  private let plan: SimulationPlan
  private let server: SimulatedServer
  private let client: SimulatedClient
  private let reconnector: SimulatedReconnector
  private var operationsLeft: Int
  private var faultsLeft: Int
  /// Callers that have not ended.
  private var callers: Int
  private var isOver = false

  /// Turns of all at one moment, after which they count as endless.
  private static let turns = 20_000

  static func run(seed: UInt64, without omission: SimulationPlan.Omission? = nil, isTraced: Bool = false) -> Result {
    let world = SimulatedWorld(seed: seed, isTraced: isTraced)
    do {
      return try Simulation(world, without: omission).run()
    } catch {
      return Result(failures: ["the simulation cannot be set up: \(error)"], digest: 0, trace: [])
    }
  }

  private init(_ world: SimulatedWorld, without omission: SimulationPlan.Omission?) throws {
    self.world = world
    plan = SimulationPlan(world, without: omission)
    world.note("plan", [], "\(plan)")
    server = SimulatedServer(world, plan)
    client = try SimulatedClient(
      world, plan, isLogged: plan.isLogged && omission != .log, quiesce: omission == .fence ? 0 : plan.quiesce, server)
    reconnector = SimulatedReconnector(world, client, server, without: omission)
    operationsLeft = plan.operations
    faultsLeft = plan.faults
    callers = plan.callers
    server.hasLost = { [unowned self] inCrash in
      // After a crash the log has it, as far as it was not lost before.
      if !inCrash || !plan.isLogged { client.history.lose(at: world.tick(), isSilent: inCrash) }
    }
  }

  private func run() -> Result {
    for _ in 0..<plan.callers { world.after(world.milliseconds(0...plan.think)) { [unowned self] in begin() } }
    while !isOver, world.failures.isEmpty {
      settle()
      guard world.failures.isEmpty, !isOver else { break }
      let waiting = client.inFlight.keys.sorted()
      if world.now > plan.bound { world.fail("\(waiting) have not ended after \(world.now / 1_000_000_000) s") }
      if !world.advance() { world.fail("\(waiting) will never end") }
    }
    return Result(
      failures: world.failures, digest: world.digest, trace: world.trace ?? [], operations: client.count,
      crashes: server.crashes, losses: reconnector.losses, replays: reconnector.replays)
  }

  /// All have turns, until nobody has anything to do at this moment.
  private func settle() {
    for _ in 0..<Self.turns {
      var worked = server.step()
      if client.step() { worked = true }
      if reconnector.step() {
        worked = true
        world.changed()
      }
      if !worked || !world.failures.isEmpty || isOver { return }
    }
    world.fail("a thread never sleeps")
  }

  // MARK: Callers

  private func begin() {
    guard operationsLeft > 0 else {
      callers -= 1
      if callers == 0 { finish() }
      return
    }
    operationsLeft -= 1
    if faultsLeft > 0, world.chance(100 * plan.faults / plan.operations + 1) {
      faultsLeft -= 1
      world.after(world.milliseconds(0...20)) { [unowned self] in server.fault() }
    }
    let number = client.count + 1
    // Once: by its end, or because its caller is killed.
    var isWaiting = true
    let next = { [unowned self] in
      guard isWaiting else { return }
      isWaiting = false
      world.after(world.milliseconds(0...plan.think)) { [unowned self] in begin() }
    }
    let isDurable = world.chance(plan.fua)
    switch world.number(0...99) {
    case ..<45: client.write(cells(), isDurable: isDurable) { _ in next() }
    case ..<52: client.zero(cells(), isDurable: isDurable) { _ in next() }
    case ..<92: client.read(cells()) { _ in next() }
    default: client.flush { _ in next() }
    }
    if world.chance(plan.kills) {
      world.after(world.milliseconds(1...500)) { [unowned self] in if client.kill(number) { next() } }
    }
  }

  /// Few of them are asked for often, so that operations meet.
  private func cells() -> Range<Int> {
    let count = world.chance(70) ? world.number(1...3) : world.number(1...16)
    let last = (world.chance(70) ? 12 : SimulationPlan.cells) - 1
    let first = world.number(0...last)
    return first..<min(first + count, SimulationPlan.cells)
  }

  // MARK: The end

  /// Nobody asks for anything any more, and nothing goes wrong.
  private func finish() {
    server.isCalm = true
    server.isListening = true
    world.note("calm")
    // By then all is known that could be in doubt.
    world.after(plan.quiesce + 5_000_000_000) { [unowned self] in lookAtAll() }
  }

  private func lookAtAll() {
    client.read(0..<SimulationPlan.cells) { [unowned self] outcome in
      guard outcome.isSuccess else { return end(outcome) }
      flush(isAgain: false)
    }
  }

  private func flush(isAgain: Bool) {
    client.flush { [unowned self] outcome in
      // What was lost before is told once.
      if case .failed = outcome, !isAgain { return flush(isAgain: true) }
      end(outcome)
    }
  }

  private func end(_ outcome: Outcome) {
    world.note("final", [], "\(outcome)")
    world.after(0) { [unowned self] in
      isOver = true
      let stuck = client.inFlight.values.filter { $0.command != .flush }.map(\.number).sorted()
      if !stuck.isEmpty { world.fail("\(stuck) have not ended") }
      guard outcome.isSuccess else {
        if !reconnector.hasGivenUp { world.fail("an undisturbed server does not do what is asked: \(outcome)") }
        return
      }
      if client.inFlight.isEmpty, let leftovers = client.leftovers { world.fail(leftovers) }
      server.losePower()
      let time = world.tick()
      client.check(server.durable, 0..<SimulationPlan.cells, from: time, to: time + 1, "the disk after a flush")
    }
  }
}
