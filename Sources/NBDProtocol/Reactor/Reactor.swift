import CLinux
import Glibc
import Synchronization
import SystemPackage

/// The thread that drives one NBD connection, and after it the next one.
///
/// Theory of operation. The thread owns the socket and the ``TransmissionMachine``, and nobody else ever touches them, so that
/// there are no locks. One turn of its loop:
///
///     mailbox ──┐                      ┌──> send, once for all
///               ├──> machine.submit ───┤
///     source  ──┘                      └──> receive, once ──> machine.next ──> whoever waits
///
/// and where a turn found nothing to do, it sleeps in `epoll_wait` on the socket, the mailbox's eventfd and the
/// source's descriptor. When the connection is lost, the thread stays. What was in flight, and what still comes, goes to other
/// reactors of the export, or waits for a connection, which this one or another is given; or fails, where ``Link`` says that there
/// will be none.
package final class Reactor: Sendable {
  /// What other threads may know of a reactor.
  package enum State: Hashable, Sendable {
    case running
    case lost(NBDError)
    case stopped
  }

  package let mailbox: Mailbox
  package let export: Export
  /// The export's, shared by its reactors.
  let gate: RangeGate
  let link: Link
  let epoll: Epoll
  /// Operations left in the mailbox and not completed.
  package let load = Atomic<Int>(0)
  /// Commands in flight as of the last turn, where a request source asks for most of them.
  let commands = Atomic<Int>(0)
  /// Calls that have moved bytes from or to the server: while it grows, there is somebody. For whoever waits for the end.
  package let traffic = Atomic<UInt64>(0)
  /// More is in flight than one reactor should have alone.
  let isCrowded = Atomic<Bool>(false)
  /// The connection that was lost last has been of use: its server has sent something.
  let hadAnswers = Atomic<Bool>(false)
  /// Its server owed an answer.
  let hadRequests = Atomic<Bool>(false)
  /// Of the first reactor of an export: the others are to read requests too.
  let sharesSource = Atomic<Bool>(false)
  private let state = Mutex<State>(.running)
  private let isLost = Atomic<Bool>(false)
  /// The ``Link/stop`` since which nothing of this reactor's is in flight.
  private let quietStop = Atomic<UInt64>(0)
  /// The connection that comes next.
  private let next = Mutex<NegotiatedConnection?>(nil)
  private let hasNext = Atomic<Bool>(false)
  private let stopRequested = Atomic<Bool>(false)
  private let thread = Mutex<pthread_t?>(nil)
  private let errorReport = Mutex<(@Sendable (ErrorReply) -> Void)?>(nil)
  let timing: Timing
  let clock: TimeSource

  /// How long a reactor waits for what.
  package struct Timing: Hashable, Sendable {
    /// Microseconds for which the thread looks for work after it had some, before it sleeps; 0 never.
    package var busyPoll = 0
    /// Nanoseconds for which what was sent over a connection that we gave up stays in doubt, unless the server closes it before.
    ///
    /// A minute: twice the time after which Linux gives up on a request to a SCSI disk (`/sys/block/sdX/device/timeout`), so that
    /// a server has either carried out by then what it received, or failed it.
    package var quiesce: UInt64 = 60_000_000_000
    /// Milliseconds of a TCP peer's silence after which it is taken for gone: see ``PeerWatch``.
    package var patience = Limits.peerSilence
    /// Nanoseconds for which a server may send nothing while it owes a reply; nil for ever.
    package var answer: UInt64?

    package init() {}
  }

  package init(
    _ export: Export, _ gate: RangeGate, _ link: Link, _ timing: Timing = Timing(), clock: TimeSource = .monotonic
  ) throws(NBDError) {
    self.export = export
    self.gate = gate
    self.link = link
    self.timing = timing
    self.clock = clock
    mailbox = try Mailbox()
    epoll = try Epoll()
  }

  /// Nobody has joined the thread: it goes by itself. It has this object until it has done its work.
  deinit {
    if let thread = thread.withLock({ $0 }) { pthread_detach(thread) }
  }

  package var isAlive: Bool { !isLost.load(ordering: .acquiring) }
  package var currentState: State { state.withLock { $0 } }

  /// Starts the thread on a connection, which nobody has driven yet.
  ///
  /// - Parameters:
  ///   - peers: the reactors of the same export, this one among them.
  ///   - makeSource: called on the new thread; nil where there is no second side.
  /// - Throws: ``NBDError/invalidArgument(_:)`` where another reactor has taken the connection; what a thread needs.
  package func start(
    _ connection: NegotiatedConnection, peers: [Reactor], makeSource: @escaping @Sendable () -> (any RequestSource)?
  ) throws(NBDError) {
    guard let taken = connection.takeChannel() else { throw .invalidArgument("a connection is driven already") }
    // To be handed over: a thread's closure cannot own it.
    let channel = Mutex<Channel?>(taken)
    let started = try POSIXThread.start("a reactor") { [self] in
      guard let channel = channel.withLock({ $0.take() }) else { return }
      var loop = ReactorLoop(self, channel, connection.leftover, peers, makeSource())
      loop.run()
    }
    thread.withLock { $0 = started }
  }

  /// Leaves an operation for the reactor. `pending` is signalled exactly once.
  package func submit(_ pending: UnsafeMutablePointer<PendingOperation>) {
    load.add(1, ordering: .relaxed)
    if !mailbox.submit(pending) {
      load.subtract(1, ordering: .relaxed)
      pending.signal(.connectionLost)
    }
  }

  /// Gives a reactor that has lost its connection another one; while all are stopped.
  func give(_ connection: NegotiatedConnection) {
    // From here on a loss is one of the new connection.
    state.withLock { if case .lost = $0 { $0 = .running } }
    next.withLock { $0 = connection }
    hasNext.store(true, ordering: .releasing)
    // Before anybody goes on: all have to agree on the first that is alive.
    isLost.store(false, ordering: .releasing)
    mailbox.gateChanged()
  }

  func isQuiet(since stop: UInt64) -> Bool { quietStop.load(ordering: .acquiring) == stop }

  /// Has the thread complete what is in flight, disconnect softly, and end.
  package func requestStop() {
    stopRequested.store(true, ordering: .sequentiallyConsistent)
    // Always through the eventfd: the thread may be between its last look at the flag and the sleep.
    mailbox.wakeup.signal()
  }

  /// Waits for the thread to end, after ``requestStop()``; at most the time that ``ReactorLoop`` allows a server
  /// that does not answer. From any other thread.
  package func join() {
    let ended = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    if let ended { pthread_join(ended, nil) }
  }

  /// The measure for choosing the least loaded connection. An operation may be in both numbers.
  var inFlight: Int { max(load.load(ordering: .relaxed), commands.load(ordering: .relaxed)) }

  // MARK: The thread's side

  var shouldStop: Bool { stopRequested.load(ordering: .relaxed) }

  func lost(_ error: NBDError) {
    state.withLock { if $0 == .running { $0 = .lost(error) } }
    isLost.store(true, ordering: .releasing)
    link.news.signal()
  }

  /// Takes the connection that was left with ``give(_:)``.
  func takeNext() -> NegotiatedConnection? {
    guard hasNext.load(ordering: .relaxed), hasNext.exchange(false, ordering: .acquiring) else { return nil }
    return next.withLock { $0.take() }
  }

  /// Nothing is in flight here, since the stop of that number.
  func becameQuiet(_ stop: UInt64) {
    guard quietStop.load(ordering: .relaxed) != stop else { return }
    quietStop.store(stop, ordering: .releasing)
    link.news.signal()
  }

  /// Has `report` told of what the server answers commands with that fail, on the reactor's thread, which it may not keep.
  package func reportErrors(_ report: @escaping @Sendable (ErrorReply) -> Void) { errorReport.withLock { $0 = report } }

  func tell(_ error: ErrorReply) { errorReport.withLock { $0 }?(error) }

  func stopped() {
    state.withLock { if $0 == .running { $0 = .stopped } }
    isLost.store(true, ordering: .releasing)
  }
}

extension Array where Element == Reactor {
  /// The one to give `command` to: the least loaded one that is alive, not the one loaded by turns.
  ///
  /// Commands that are carried out in order (``Command/isOrdered(block:)``) go to one reactor, the first that is alive: they are
  /// ordered inside one machine, and not across them.
  func choose(for command: Command, of export: Export) -> Reactor? {
    if count == 1 || command.isOrdered(block: UInt64(export.blockSizes.minimum)) { return first(where: \.isAlive) }
    var best: Reactor?
    var least = Int.max
    for reactor in self where reactor.isAlive {
      let load = reactor.inFlight
      if load < least {
        best = reactor
        least = load
      }
    }
    return best
  }
}
