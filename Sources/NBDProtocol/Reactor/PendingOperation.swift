import Glibc
import Synchronization

/// An operation on its way through a reactor, and the place where its submitter waits.
///
/// It lives at a fixed address, usually on the waiting thread's stack, from ``Mailbox/submit(_:)`` until it was
/// signalled: the reactor holds a bare pointer to it. That is safe because whoever submits does not return before the signal,
/// and the reactors signal each one exactly once, also when there will be no connection any more.
package struct PendingOperation: ~Copyable {
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
  /// See ``Completion/replacement``.
  var replacement: UnsafeMutableRawPointer?
  /// The link of the mailbox, and then of the reactor's backlog.
  var next: UnsafeMutablePointer<PendingOperation>?
  var waiter: Waiter
  var semaphore = sem_t()
  /// Where it is with the export's ``RangeGate``: 0 before it, then one of the others, and at last ``hasEnded``. Whoever waits
  /// may want to drop it in the moment in which the reactor lets it pass.
  private let passage: Atomic<UInt8>
  private static var hasPassed: UInt8 { 1 }
  private static var isDropped: UInt8 { 2 }
  private static var hasEnded: UInt8 { 3 }
  private static var isLeft: UInt8 { 4 }

  /// - Parameter hasPassedGate: it was asked already; an operation passes once.
  init(_ operation: Operation, waiter: Waiter, hasPassedGate: Bool = false) {
    self.operation = operation
    self.waiter = waiter
    passage = Atomic(hasPassedGate ? Self.hasPassed : 0)
  }

  var hasPassedGate: Bool {
    let state = passage.load(ordering: .acquiring)
    return state == Self.hasPassed || state == Self.isLeft
  }

  /// Nobody wants it any more, and it was not sent.
  var isDropped: Bool { passage.load(ordering: .acquiring) == Self.isDropped }

  /// The reactor has written how it ended. Asked after the signal, it orders what is read then after what was written before:
  /// `sem_post` does so too, but neither the language nor a sanitizer knows.
  var hasEnded: Bool { passage.load(ordering: .acquiring) == Self.hasEnded }

  fileprivate func end() { passage.store(Self.hasEnded, ordering: .releasing) }

  /// Lets it pass the gate. False where it was dropped.
  func pass() -> Bool {
    let state = passage.compareExchange(expected: 0, desired: Self.hasPassed, ordering: .acquiringAndReleasing).original
    return state != Self.isDropped
  }

  /// Nobody wants it any more, and it may have been sent: where it still has to be, it need not.
  var isLeft: Bool { passage.load(ordering: .acquiring) == Self.isLeft }

  /// Whoever waits for it is gone, though it has passed the gate.
  func leave() { _ = passage.compareExchange(expected: Self.hasPassed, desired: Self.isLeft, ordering: .acquiringAndReleasing) }

  /// Has it end without being sent. False where it has passed the gate: then it goes on.
  func drop() -> Bool {
    passage.compareExchange(expected: 0, desired: Self.isDropped, ordering: .acquiringAndReleasing).exchanged
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
    let waiter = pointee.waiter
    pointee.end()
    switch waiter {
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
  private let hasGateChanged = Atomic<Bool>(false)
  let wakeup: Wakeup

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

  /// Whether ``gateChanged()`` was called since the last time.
  @inline(__always)
  func takeGateChange() -> Bool {
    hasGateChanged.load(ordering: .relaxed) && hasGateChanged.exchange(false, ordering: .sequentiallyConsistent)
  }

  /// The reactor is about to sleep. False where something has come in between: then it must not.
  func prepareToSleep() -> Bool {
    isSleeping.store(true, ordering: .sequentiallyConsistent)
    if top.load(ordering: .sequentiallyConsistent) > Self.closed
      || returned.load(ordering: .sequentiallyConsistent) != 0
      || hasGateChanged.load(ordering: .sequentiallyConsistent)
    {
      isSleeping.store(false, ordering: .relaxed)
      return false
    }
    return true
  }

  func didWake() { isSleeping.store(false, ordering: .relaxed) }
}
