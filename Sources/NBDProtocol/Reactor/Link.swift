import Synchronization

/// What the reactors of one export share about its connections: whether to go on, to wait, or to give up.
///
/// | state | a request that no connection can take |
/// |---|---|
/// | connected, or reconnecting | waits |
/// | *stopped*, for a moment | waits: see below |
/// | failed, or ended | fails |
///
/// Before a new connection joins, everything *stops*: no reactor begins an operation, and those whose connection lives finish
/// what they have. So nothing runs beside what is sent again, and there is no interleaving to reason about. Each stop has a number,
/// odd while it lasts, which a reactor repeats as soon as nothing of its own is in flight.
///
/// Any thread may call any of this. For a reactor that does nothing but work it costs one load for each turn.
package final class Link: Sendable {
  /// What a server that comes back may not have any more; nil where nobody keeps it.
  package let log: WriteLog?
  private let stops = Atomic<UInt64>(0)
  private let mayWait: Atomic<Bool>
  private let failed = Mutex<NBDError?>(nil)
  /// Signalled when a connection is lost, and when a reactor has become quiet.
  let news = Semaphore()

  /// - Parameter mayWait: somebody reconnects.
  package init(mayWait: Bool = false, log: WriteLog? = nil) {
    self.mayWait = Atomic(mayWait)
    self.log = log
  }

  /// A request that no connection can take may wait for one.
  var canWait: Bool { mayWait.load(ordering: .acquiring) }

  /// The number of a stop, or of the time after it.
  struct Stop: Hashable {
    let number: UInt64
    /// Nothing is to be begun.
    @inline(__always)
    var isOn: Bool { number & 1 == 1 }
  }

  @inline(__always)
  var stop: Stop { Stop(number: stops.load(ordering: .acquiring)) }

  /// Why there will be no connection any more.
  package var failure: NBDError? { failed.withLock { $0 } }

  // MARK: For whoever reconnects

  /// Has the reactors begin nothing more. Returns the number of this stop.
  func stopAll(_ reactors: [Reactor]) -> UInt64 {
    let number = stops.add(1, ordering: .sequentiallyConsistent).newValue
    for reactor in reactors { reactor.mailbox.gateChanged() }
    return number
  }

  /// Has them go on.
  func resumeAll(_ reactors: [Reactor]) {
    stops.add(1, ordering: .sequentiallyConsistent)
    for reactor in reactors { reactor.mailbox.gateChanged() }
  }

  /// There will be no connection any more, for `error`: whatever waits for one fails, and all that comes.
  func fail(_ error: NBDError, _ reactors: [Reactor]) {
    failed.withLock { $0 = $0 ?? error }
    end(reactors)
  }

  /// Nobody reconnects any more.
  func end(_ reactors: [Reactor]) {
    guard mayWait.exchange(false, ordering: .sequentiallyConsistent) else { return }
    for reactor in reactors { reactor.mailbox.gateChanged() }
  }
}
