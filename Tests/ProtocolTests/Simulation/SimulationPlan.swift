@testable import NBDProtocol

/// What a seed decides before a simulation begins.
struct SimulationPlan {
  /// A rule that is left out, to see that this is found.
  enum Omission: String, CaseIterable, Sendable {
    /// Nothing is: what a server that was given up may still write is not waited for.
    case fence
    /// All of the log is sent again at once, what is older as what is newer.
    case order
    /// New requests go on while the log is sent again.
    case stop
    /// There is no log.
    case log
  }

  /// What may go wrong.
  enum Fault: CaseIterable {
    /// The server is killed, and comes back, with or without its cache.
    case crash
    /// The server's machine is gone, without a word; another comes back.
    case silentCrash
    /// A connection ends, after any byte.
    case cut
    /// A connection stands still, and may go on.
    case stall
    /// The server asks all to leave, or one.
    case shutdown
  }

  var connections: Int
  var ways: Int
  /// The export's minimum block in bytes. A *cell* of the history is 64.
  var block: UInt32
  var replies: ReplyForm
  /// Whether there is a ``WriteLog``.
  var isLogged: Bool
  /// Operations come from a ``RequestSource``, as in a mount with `--engine reactor`; otherwise through the mailbox.
  var usesSource: Bool
  var callers: Int
  /// Of all callers.
  var operations: Int
  var faults: Int
  var kinds: [Fault]
  /// Percent of the flushes, and of the writes, that fail.
  var flushFailures: Int
  var writeFailures: Int
  /// Percent of the writes whose caller is killed while it waits.
  var kills: Int
  /// Nanoseconds: see ``Recovery`` and ``Reactor/Timing``.
  var window: UInt64?
  var answer: UInt64?
  var quiesce: UInt64
  /// Milliseconds that the server takes over a request, usually.
  var latency: UInt64
  /// Milliseconds between two requests of a caller, at most.
  var think: UInt64
  /// The sockets' buffers hold a few requests only.
  var hasSmallBuffers: Bool
  /// Percent of the writes that ask for durability.
  var fua: Int

  static let cellSize = 64
  static let cells = 64

  init(_ world: SimulatedWorld, without omission: Omission?) {
    let second: UInt64 = 1_000_000_000
    connections = world.number(1...3)
    ways = world.number(1...2)
    block = world.chance(70) ? 1 : 512
    replies = [.simple, .structured, .extended][world.number(0...2)]
    isLogged = world.chance(80) || omission != nil
    usesSource = world.chance(50)
    callers = world.number(1...8)
    operations = world.number(20...120)
    faults = world.number(0...6)
    kinds = Fault.allCases.filter { _ in world.chance(60) }
    flushFailures = world.chance(25) ? world.number(5...40) : 0
    writeFailures = world.chance(15) ? world.number(1...10) : 0
    kills = world.chance(40) ? world.number(1...20) : 0
    window = world.chance(85) ? nil : world.milliseconds(1000...20_000)
    let isImpatient = kinds.contains(.silentCrash) || world.chance(40)
    answer = isImpatient ? world.milliseconds(500...4000) : nil
    quiesce = world.milliseconds(500...60_000)
    latency = [0, 1, 10, 50][world.number(0...3)]
    think = [0, 5, 50, 2000][world.number(0...3)]
    hasSmallBuffers = world.chance(30)
    fua = world.chance(50) ? world.number(0...40) : 0
    // What is left out is found where it would have been needed.
    if omission == .fence { answer = answer ?? second }
  }

  var export: Export {
    .test(replies, size: UInt64(Self.cellSize * Self.cells), minimum: block)
  }

  var timing: Reactor.Timing {
    var timing = Reactor.Timing()
    timing.quiesce = quiesce
    timing.answer = answer
    return timing
  }

  /// Nanoseconds after which the end has come, whatever happened: each fault takes less than this.
  var bound: UInt64 {
    let second: UInt64 = 1_000_000_000
    return UInt64(faults + 2) * (quiesce + (answer ?? 0) + 120 * second) + UInt64(operations) * (think + 1000) * 1_000_000
  }
}
