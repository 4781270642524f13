import Synchronization

/// What was written and is not yet known to be durable, and what may have been lost: the truth of each fsync.
///
/// Theory of operation. A write that the server has answered is *at risk* until a flush that was begun after its answer has
/// succeeded. The promise to whoever calls fsync is that all that was answered before is durable, so that a flush which succeeds is
/// not enough: a server may answer it with success although an earlier one lost the data, because it tells an error once.
///
///     write answered ──> at risk ── flush succeeds ──> durable
///                           │
///                           └────── flush fails ─────> lost ── written again ──> at risk
///
/// When a flush fails, all is lost that the server may have held: what was at risk when the failure became known, and also
/// writes that were still under way then, since the server may have carried them out before the flush, and answered after
/// it. So time is divided into *epochs* by the failures, and a write counts in the epoch in which it was submitted. Only one
/// that was submitted after the failure became known is safe from it, and makes that of the lost bytes which it covers be at
/// risk again. As long as anything is lost, every flush fails for those who wait for it.
///
/// A write with FUA (O_DSYNC) is write and flush in one. One that fails is a failed flush for all others, and its own bytes
/// are lost; one that succeeds is durable at once, and what it covers is no longer lost.
///
/// A flush begins in ``beginFlush()`` and has ended in ``endFlush(_:_:)``. Its outcome becomes known on the connection's thread and is
/// noted here on another, so that of two flushes the second one's success may be noted before the first one's failure. A flush
/// that has succeeded is therefore *undecided* while others that had begun by then are not noted; another flush is sent then,
/// whose end comes later than theirs, because one of an export waits for another. None waits for a flush that was begun after
/// its own success, so that each comes to an end. (A failure of a write with FUA counts from when it is noted.)
///
/// What is at risk is a log of ranges, oldest first: noting a write appends to it, or extends the last one, and a flush covers
/// what was in the log when it began. A log that is full is sorted and joined, and made coarser where that is not enough
/// (``ByteRanges``): more may count as lost then than was written. Any thread may call any of this.
final class WriteTracker: Sendable {
  /// The time between two failures; to be noted when a write is submitted. Trivial, as requests are.
  struct Epoch: Equatable {
    fileprivate var failures: UInt64
  }

  /// A flush under way.
  struct Flush {
    fileprivate var number: UInt64
    /// It covers what was put into the log before this position.
    fileprivate var end: UInt64
    fileprivate var epoch: Epoch
    /// Something was lost already when it began.
    fileprivate var foundLost: Bool
    /// The last flush that had begun when this one succeeded, where it is undecided.
    fileprivate var lastToWaitFor: UInt64?
  }

  /// How a flush ended on the wire.
  enum FlushEnd {
    case succeeded
    /// With an error, or without an answer.
    case failed
    /// It never left: nothing has changed.
    case neverSent
  }

  /// What is said to whoever waits for a flush.
  enum Verdict {
    /// All that was answered before it began is durable.
    case durable
    case lost
    /// Not yet known: send the flush again, under this name.
    case undecided(Flush)
  }

  fileprivate struct State {
    /// What is at risk, oldest first.
    var log: [Range<UInt64>] = []
    /// The position of the log's first entry: how many were dropped.
    var start: UInt64 = 0
    var lost = ByteRanges()
    var lastFlush: UInt64 = 0
    /// Flushes that have begun and not ended, oldest first.
    var running: [UInt64] = []
  }
  private let state: Mutex<State>
  private let failures = Atomic<UInt64>(0)

  init() {
    var state = State()
    state.log.reserveCapacity(ByteRanges.most)
    self.state = Mutex(state)
  }

  // MARK: Writes

  /// To be taken before a write is submitted.
  var epoch: Epoch { Epoch(failures: failures.load(ordering: .acquiring)) }

  /// A write was answered with success, and is durable only after a flush. To be called before the writer is told.
  func wrote(_ range: Range<UInt64>, submitted epoch: Epoch) {
    guard !range.isEmpty else { return }
    state.withLock { state in
      guard epoch == self.epoch else { return state.lost.insert(range) }
      if !state.lost.isEmpty { state.lost.remove(range) }
      state.append(range)
    }
  }

  /// A write with FUA was answered with success.
  func wroteDurably(_ range: Range<UInt64>, submitted epoch: Epoch) {
    guard epoch != Epoch(failures: 0) else { return }
    state.withLock { state in
      if epoch == self.epoch { state.lost.remove(range) }
    }
  }

  /// A write with FUA failed, or was not answered: a failed flush, for all others too.
  func failedDurably(_ range: Range<UInt64>) {
    state.withLock { state in
      lose(&state)
      state.lost.insert(range)
    }
  }

  /// A write of the kernel's cache failed, whose writer was told of success long ago. It says nothing about other bytes.
  func failedLate(_ range: Range<UInt64>) {
    state.withLock { $0.lost.insert(range) }
  }

  // MARK: Flushes

  /// Whether an fsync has anything to do or to report. A flush that is under way does not count as done.
  var needsFlush: Bool { state.withLock { !$0.log.isEmpty || !$0.lost.isEmpty || !$0.running.isEmpty } }

  /// To be called before a flush is submitted.
  func beginFlush() -> Flush {
    state.withLock { state in
      Flush(
        number: state.begin(), end: state.start + UInt64(state.log.count), epoch: epoch, foundLost: !state.lost.isEmpty)
    }
  }

  /// The flush has ended. To be called once for each, and before whoever waits for it is told.
  func endFlush(_ flush: Flush, _ end: FlushEnd) -> Verdict {
    state.withLock { state in
      state.running.removeAll { $0 == flush.number }
      switch end {
      case .neverSent: return .lost
      case .failed:
        lose(&state)
        return .lost
      case .succeeded: break
      }
      guard flush.epoch == epoch else { return .lost }
      let last = flush.lastToWaitFor ?? state.lastFlush
      if let oldest = state.running.first, oldest <= last {
        var again = flush
        again.number = state.begin()
        again.lastToWaitFor = last
        return .undecided(again)
      }
      state.drop(upTo: flush.end)
      return flush.foundLost ? .lost : .durable
    }
  }

  /// A flush has failed: all that was at risk is lost, and a new epoch begins.
  private func lose(_ state: inout State) {
    failures.add(1, ordering: .releasing)
    state.lost.insert(contentsOf: state.log)
    state.drop(upTo: state.start + UInt64(state.log.count))
  }
}

extension WriteTracker.State {
  /// Begins a flush, and returns its number.
  fileprivate mutating func begin() -> UInt64 {
    lastFlush += 1
    running.append(lastFlush)
    return lastFlush
  }

  fileprivate mutating func append(_ range: Range<UInt64>) {
    // What a flush covers stays as it is.
    if running.isEmpty, let last = log.last, last.lowerBound <= range.lowerBound, range.lowerBound <= last.upperBound {
      log[log.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
      return
    }
    if log.count == ByteRanges.most { compact() }
    log.append(range)
  }

  /// Makes room. The order is lost: no flush that is under way covers any of it any more.
  private mutating func compact() {
    start += UInt64(log.count)
    let joined = ByteRanges(log, atMost: ByteRanges.most / 2).ranges
    log.removeAll(keepingCapacity: true)
    log += joined
  }

  /// Drops what was put in before `position`.
  fileprivate mutating func drop(upTo position: UInt64) {
    guard position > start else { return }
    log.removeFirst(Int(position - start))
    start = position
  }
}
