import Glibc
import Synchronization

/// An operation on its way through a reactor, and the place where its submitter waits.
///
/// It lives at a fixed address, usually on the waiting thread's stack, from ``Mailbox/submit(_:)`` until it was
/// signalled: the reactor holds a bare pointer to it. That is safe because whoever submits does not return before the signal,
/// and the reactor signals each one exactly once, also when the connection is lost.
package struct PendingOperation {
  /// How the submitter learns of the end.
  enum Waiter {
    /// A thread in `sem_wait`.
    case thread
    /// An async function.
    case task(UnsafeContinuation<Void, Never>)
    /// Another reactor, which knows the operation under this token.
    case reactor(Mailbox, Token)
  }

  package var operation: Operation
  /// Written by the reactor before it signals.
  package var outcome = Outcome.connectionLost
  /// Block status only; one array for each of the export's contexts.
  package var extents: [[Extent]] = []
  /// The link of the mailbox, and then of the reactor's backlog.
  var next: UnsafeMutablePointer<PendingOperation>?
  var waiter: Waiter
  var semaphore = sem_t()
  /// It has passed the export's ``RangeGate``, which is asked once.
  var hasPassedGate = false

  init(_ operation: Operation, waiter: Waiter) {
    self.operation = operation
    self.waiter = waiter
  }
}

extension UnsafeMutablePointer<PendingOperation> {
  /// What the machine is given instead of the pointer.
  var token: Token { Token(.mailbox, UInt(bitPattern: self)) }

  init?(_ token: Token) {
    self.init(bitPattern: token.value)
  }

  /// Ends the wait. The pointer is dead afterwards.
  func signal(_ outcome: Outcome) {
    pointee.outcome = outcome
    switch pointee.waiter {
    case .thread: sem_post(&pointee.semaphore)
    case .task(let continuation): continuation.resume()
    case .reactor(let mailbox, _): mailbox.giveBack(self)
    }
  }
}

/// Where other threads leave operations for a reactor.
///
/// A stack of links that is pushed to with one compare-and-exchange, and taken as a whole by the reactor. The
/// reactor is woken through its eventfd only when it says that it sleeps, so that a busy one costs no system call.
package final class Mailbox: Sendable {
  private let top = Atomic<UInt>(0)
  /// In ``top`` where nothing may be left any more. No operation has that address.
  private static var closed: UInt { 1 }
  /// Operations of this reactor that another one has carried out.
  private let returned = Atomic<UInt>(0)
  private let isSleeping = Atomic<Bool>(false)
  private let hasCancellations = Atomic<Bool>(false)
  private let hasGateChanged = Atomic<Bool>(false)
  /// Nil once nobody looks at them any more.
  private let cancellations = Mutex<[Cancellation]?>([])
  let wakeup: Wakeup

  /// A request to let go of an operation, and where to say that this was done.
  struct Cancellation: Sendable {
    var token: Token
    /// A `sem_t` of the thread that waits for the answer. It outlives the cancellation for the same reason as
    /// ``PendingOperation`` does.
    var acknowledged: UInt
  }

  init() throws(NBDError) { wakeup = try Wakeup() }

  /// Leaves an operation, which will be signalled, whatever happens to the connection. False where the mailbox is closed: then
  /// it was not taken.
  func submit(_ pending: UnsafeMutablePointer<PendingOperation>) -> Bool {
    guard Self.push(pending, on: top) else { return false }
    wake()
    return true
  }

  /// Gives an operation back that this mailbox's reactor had handed to another one. Its memory is that reactor's again.
  func giveBack(_ pending: UnsafeMutablePointer<PendingOperation>) {
    // Never closed: a reactor does not end before it has got back what it has handed out.
    _ = Self.push(pending, on: returned)
    wake()
  }

  private static func push(_ pending: UnsafeMutablePointer<PendingOperation>, on stack: borrowing Atomic<UInt>) -> Bool {
    let link = UInt(bitPattern: pending)
    var expected = stack.load(ordering: .relaxed)
    while true {
      if expected == closed { return false }
      pending.pointee.next = UnsafeMutablePointer(bitPattern: expected)
      let (exchanged, current) = stack.compareExchange(
        expected: expected, desired: link, successOrdering: .sequentiallyConsistent, failureOrdering: .relaxed)
      if exchanged { return true }
      expected = current
    }
  }

  /// Asks the reactor to abandon an operation and waits until it has seen that. The operation may have completed in
  /// the meantime; it is signalled once in either case.
  func cancel(_ pending: UnsafeMutablePointer<PendingOperation>) {
    var acknowledged = sem_t()
    sem_init(&acknowledged, 0, 0)
    withUnsafeMutablePointer(to: &acknowledged) { semaphore in
      let cancellation = Cancellation(token: pending.token, acknowledged: UInt(bitPattern: semaphore))
      let isTaken = cancellations.withLock { list in
        list?.append(cancellation)
        return list != nil
      }
      // A reactor that has ended has signalled all its operations.
      guard isTaken else { return }
      hasCancellations.store(true, ordering: .sequentiallyConsistent)
      wake()
      waitForSemaphore(semaphore)
    }
    sem_destroy(&acknowledged)
  }

  /// Has the reactor look again at what it has parked.
  func gateChanged() {
    hasGateChanged.store(true, ordering: .sequentiallyConsistent)
    wake()
  }

  /// Makes the reactor take a turn.
  func wake() {
    if isSleeping.load(ordering: .sequentiallyConsistent),
      isSleeping.exchange(false, ordering: .sequentiallyConsistent)
    {
      wakeup.signal()
    }
  }

  // MARK: The reactor's side

  /// Takes all that is there, oldest first.
  @inline(__always)
  func takeAll() -> UnsafeMutablePointer<PendingOperation>? {
    guard top.load(ordering: .relaxed) > Self.closed else { return nil }
    return Self.oldestFirst(top.exchange(0, ordering: .acquiring))
  }

  /// Takes what other reactors gave back, oldest first.
  @inline(__always)
  func takeReturned() -> UnsafeMutablePointer<PendingOperation>? {
    guard returned.load(ordering: .relaxed) != 0 else { return nil }
    return Self.oldestFirst(returned.exchange(0, ordering: .acquiring))
  }

  /// Takes all that is there, oldest first, and refuses all that comes later.
  func close() -> UnsafeMutablePointer<PendingOperation>? {
    let last = top.exchange(Self.closed, ordering: .acquiringAndReleasing)
    return last == Self.closed ? nil : Self.oldestFirst(last)
  }

  @inline(__always)
  private static func oldestFirst(_ top: UInt) -> UnsafeMutablePointer<PendingOperation>? {
    var link = UnsafeMutablePointer<PendingOperation>(bitPattern: top)
    var oldest: UnsafeMutablePointer<PendingOperation>?
    while let current = link {
      link = current.pointee.next
      current.pointee.next = oldest
      oldest = current
    }
    return oldest
  }

  @inline(__always)
  func takeCancellations() -> [Cancellation] {
    guard hasCancellations.load(ordering: .relaxed) else { return [] }
    hasCancellations.store(false, ordering: .sequentiallyConsistent)
    return cancellations.withLock { list in
      defer { if list != nil { list = [] } }
      return list ?? []
    }
  }

  /// Whether ``gateChanged()`` was called since the last time.
  @inline(__always)
  func takeGateChange() -> Bool {
    hasGateChanged.load(ordering: .relaxed) && hasGateChanged.exchange(false, ordering: .sequentiallyConsistent)
  }

  /// The reactor ends: takes the last cancellations and refuses all that come later.
  func closeCancellations() -> [Cancellation] {
    cancellations.withLock { list in
      defer { list = nil }
      return list ?? []
    }
  }

  /// The reactor is about to sleep. False where something has come in between: then it must not.
  func prepareToSleep() -> Bool {
    isSleeping.store(true, ordering: .sequentiallyConsistent)
    if top.load(ordering: .sequentiallyConsistent) > Self.closed
      || returned.load(ordering: .sequentiallyConsistent) != 0
      || hasCancellations.load(ordering: .sequentiallyConsistent)
      || hasGateChanged.load(ordering: .sequentiallyConsistent)
    {
      isSleeping.store(false, ordering: .relaxed)
      return false
    }
    return true
  }

  func didWake() { isSleeping.store(false, ordering: .relaxed) }
}
