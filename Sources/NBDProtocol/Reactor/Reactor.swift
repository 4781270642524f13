import CLinux
import Glibc
import Synchronization
import SystemPackage

/// The thread that drives one NBD connection.
///
/// Theory of operation. The thread owns the socket and the ``TransmissionMachine``, and nobody else ever touches them, so that
/// there are no locks. One turn of its loop:
///
///     mailbox ──┐                      ┌──> send, once for all
///               ├──> machine.submit ───┤
///     source  ──┘                      └──> receive, once ──> machine.next ──> whoever waits
///
/// and where a turn found nothing to do, it sleeps in `epoll_wait` on the socket, the mailbox's eventfd and the
/// source's descriptor. When the connection is lost, the thread stays, and answers whatever still comes with an error, until
/// it is told to stop.
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
  let epoll: Epoll
  /// Operations left in the mailbox and not completed.
  package let load = Atomic<Int>(0)
  /// Commands in flight as of the last turn, where a request source asks for most of them.
  let commands = Atomic<Int>(0)
  /// Calls that have moved bytes from or to the server: while it grows, there is somebody. For whoever waits for the end.
  package let traffic = Atomic<UInt64>(0)
  /// More is in flight than one reactor should have alone.
  let isCrowded = Atomic<Bool>(false)
  /// Of the first reactor of an export: the others are to read requests too.
  let sharesSource = Atomic<Bool>(false)
  private let state = Mutex<State>(.running)
  private let isLost = Atomic<Bool>(false)
  private let stopRequested = Atomic<Bool>(false)
  private let thread = Mutex<pthread_t?>(nil)
  private let errorReport = Mutex<(@Sendable (ErrorReply) -> Void)?>(nil)
  let patience: Int
  private let busyPollNanoseconds: UInt64
  /// Nanoseconds for which what was sent over a connection that we gave up stays in doubt, unless the server closes it before.
  let quiesce: UInt64

  /// A minute: twice the time after which Linux gives up on a request to a SCSI disk (`/sys/block/sdX/device/timeout`), so that a
  /// server has either carried out by then what it received, or failed it.
  package static var quiesce: UInt64 { 60_000_000_000 }

  /// - Parameters:
  ///   - busyPoll: microseconds for which the thread looks for work after it had some, before it sleeps; 0 never.
  ///   - quiesce: see ``quiesce``.
  ///   - patience: milliseconds of a TCP peer's silence after which it is taken for gone: see ``PeerWatch``.
  package init(
    _ export: Export, _ gate: RangeGate, busyPoll: Int = 0, quiesce: UInt64 = Reactor.quiesce,
    patience: Int = Limits.peerSilence
  ) throws(NBDError) {
    self.export = export
    self.gate = gate
    self.quiesce = quiesce
    self.patience = patience
    busyPollNanoseconds = UInt64(max(busyPoll, 0)) * 1000
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
  var busyPoll: UInt64 { busyPollNanoseconds }

  func lost(_ error: NBDError) {
    state.withLock { if $0 == .running { $0 = .lost(error) } }
    isLost.store(true, ordering: .releasing)
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
