import Glibc
import Synchronization

/// Connects again: one thread for an export, from its first connection to its end.
///
/// Theory of operation. ``Recovery`` says when and where; this thread connects and negotiates, checks that what is there now can take the
/// place of what was lost, and then, so that nothing runs beside what is sent again:
///
///     stop all reactors ──> wait until they are quiet ──> send the write log again ──> give the connection to a reactor ──> go on
///
/// Blocking is allowed here: nothing waits for this thread but requests that wait for the server.
final class Reconnector: Sendable {
  /// Milliseconds in which losses count as one, where some connections live.
  private static let gatherMilliseconds = 20
  /// Milliseconds between two looks at whether to wait on for a server that was given up.
  private static let unfinishedMilliseconds = 300

  private let ways: [Opener]
  private let export: Export
  private let isReadOnly: Bool
  private let link: Link
  private let reactors: [Reactor]
  private let report: @Sendable (LinkEvent) -> Void
  private let recovery: Mutex<Recovery>
  private let isEnding = Atomic<Bool>(false)

  /// - Parameters:
  ///   - ways: to the same export; none where nobody reconnects: then losses are only reported.
  ///   - window: see ``Recovery``.
  ///   - report: called on the thread of the reconnector.
  init(
    _ ways: [Opener], _ export: Export, isReadOnly: Bool, window: UInt64?, _ link: Link, _ reactors: [Reactor],
    report: @escaping @Sendable (LinkEvent) -> Void
  ) {
    self.ways = ways
    self.export = export
    self.isReadOnly = isReadOnly
    self.link = link
    self.reactors = reactors
    self.report = report
    recovery = Mutex(Recovery(connections: reactors.count, ways: max(ways.count, 1), window: ways.isEmpty ? 0 : window))
  }

  func start() throws(NBDError) { try POSIXThread.startDetached("reconnecting") { [self] in run() } }

  /// Has the thread end, soon: it may be connecting.
  func end() {
    isEnding.store(true, ordering: .sequentiallyConsistent)
    link.end(reactors)
    link.news.signal()
  }

  private func run() {
    var log = ConnectionLog()
    while !isEnding.load(ordering: .relaxed) {
      reportLosses(&log)
      let now = MonotonicClock.now
      switch recovery.withLock({ $0.next(at: now) }) {
      case .rest: link.news.wait()
      case .wait(let until): link.news.wait(milliseconds: Int((until - min(now, until)) / 1_000_000 + 1))
      // Nobody reconnects: what is lost has been said.
      case .connect where ways.isEmpty: link.news.wait()
      case .connect(let way): connect(way, &log)
      case .giveUp:
        let error = log.lastError ?? .disconnected("there is no connection to the server")
        link.fail(error, reactors)
        if !ways.isEmpty { report(.failed(error, after: log.outage(now))) }
      }
    }
  }

  /// What is to be said, and was.
  private struct ConnectionLog {
    var lastError: NBDError?
    var since: UInt64?
    /// Attempts in a row that took too long for the connections that live.
    var putOffs = 0
    func outage(_ now: UInt64) -> Duration { .nanoseconds(Int64(clamping: now - (since ?? now))) }
  }

  /// Notes what was lost. Returns whether there was anything.
  private func takeLosses(_ log: inout ConnectionLog) -> Bool {
    let now = MonotonicClock.now
    let losses = recovery.withLock { $0.takeLosses(of: reactors, at: now, random: .random(in: 0 ... .max)) }
    log.lastError = losses.lastError ?? log.lastError
    return losses.areNew
  }

  /// Says what is lost. Connections to one server are lost together, and each reactor sees its own.
  private func reportLosses(_ log: inout ConnectionLog) {
    guard takeLosses(&log), let error = log.lastError else { return }
    let deadline = Deadline.after(milliseconds: Self.gatherMilliseconds)
    while recovery.withLock(\.alive) > 0, !deadline.hasPassed {
      link.news.wait(milliseconds: Int(deadline.pollTimeout))
      _ = takeLosses(&log)
    }
    log.since = log.since ?? MonotonicClock.now
    report(.lost(error, alive: recovery.withLock(\.alive), of: reactors.count, isWaiting: link.canWait))
  }

  // MARK: A new connection

  private func connect(_ way: Int, _ log: inout ConnectionLog) {
    var unfinished: UnfinishedReplay?
    do throws(NBDError) {
      let new = try ways[way].reopen(requiresTLS: export.isEncrypted)
      if let difference = new.export.difference(from: export, isReadOnly: isReadOnly) { return refuse(difference, &log) }
      let connection = NegotiatedConnection(taking: new, contextsAsIn: export)
      guard let index = recovery.withLock(\.lost).first, let resent = try admit(connection, index, &log, &unfinished)
      else { return }
      log.putOffs = 0
      let alive = recovery.withLock { recovery in
        recovery.made(index, way: way, at: MonotonicClock.now)
        return recovery.alive
      }
      report(
        .connected(alive: alive, of: reactors.count, after: log.outage(MonotonicClock.now), way: way, resent: resent))
      if alive == reactors.count { log = ConnectionLog() }
    } catch {
      failed(error, &log)
      if let unfinished { wait(for: unfinished) }
    }
  }

  /// What is there cannot take the place of what was lost: the end, where there is no other way to go on.
  private func refuse(_ difference: String, _ log: inout ConnectionLog) {
    let error = NBDError.disconnected("the server's export is not what it was: \(difference)")
    guard recovery.withLock(\.alive) == 0, ways.count == 1 else { return failed(error, &log) }
    link.fail(error, reactors)
    report(.failed(error, after: log.outage(MonotonicClock.now)))
    isEnding.store(true, ordering: .relaxed)
  }

  private func failed(_ error: NBDError, _ log: inout ConnectionLog) {
    log.lastError = error
    recovery.withLock { $0.failed(at: MonotonicClock.now, random: .random(in: 0 ... .max)) }
    report(.attemptFailed(error))
  }

  /// Has the reactor of that number take `connection`, when nothing else is in flight and the log was sent again. Returns how many
  /// operations that were; nil where this is the end.
  private func admit(
    _ connection: NegotiatedConnection, _ index: Int, _ history: inout ConnectionLog, _ unfinished: inout UnfinishedReplay?
  ) throws(NBDError) -> Int? {
    let stop = link.stopAll(reactors)
    defer { link.resumeAll(reactors) }
    let admission = Admission(stoppedAt: MonotonicClock.now, after: history.putOffs)
    waiting: while true {
      let isQuiet = reactors.allSatisfy { $0.isQuiet(since: stop) }
      let now = MonotonicClock.now
      switch admission.next(isQuiet: isQuiet, at: now) {
      case .join: break waiting
      case .putOff:
        history.putOffs += 1
        throw .timedOut("the other connections did not come to rest")
      case .wait(let until):
        if isEnding.load(ordering: .relaxed) { return nil }
        link.news.wait(milliseconds: Int((until - now) / 1_000_000 + 1))
      }
    }
    guard let log = link.log, !log.isEmpty else {
      reactors[index].give(connection)
      return 0
    }
    let othersLive = recovery.withLock(\.alive) > 0
    let patience = Replay.patience(othersLive: othersLive, after: history.putOffs, answer: reactors[index].timing.answer)
    var replay = Replay(for: reactors[index], patience: patience) { [self] in !isEnding.load(ordering: .relaxed) }
    switch replay.run(log, over: connection) {
    case .sent(let ready, let count):
      reactors[index].give(ready)
      return count
    case .failed(let error, let left):
      if othersLive, case .timedOut = error { history.putOffs += 1 }
      unfinished = left
      throw error
    }
  }

  /// Waits until the server can do no more about a log that was being sent again, or until nobody wants to know.
  private func wait(for replay: UnfinishedReplay) {
    while !replay.hasEnded(at: MonotonicClock.now), !isEnding.load(ordering: .relaxed) {
      if recovery.withLock({ $0.isExpired(at: MonotonicClock.now) }) { return }
      // In short waits: the end of a mount does not wake this one.
      guard let descriptor = replay.descriptor else {
        link.news.wait(milliseconds: Self.unfinishedMilliseconds)
        continue
      }
      _ = try? Syscall.poll(descriptor, for: Int32(POLLIN), until: .after(milliseconds: Self.unfinishedMilliseconds))
    }
  }
}

extension Recovery {
  /// Notes which of `reactors` have lost their connections. Returns whether any had not before, and the error of the last of those.
  mutating func takeLosses(
    of reactors: [Reactor], at now: UInt64, random: UInt64
  ) -> (areNew: Bool, lastError: NBDError?) {
    var areNew = false
    var lastError: NBDError?
    for (index, reactor) in reactors.enumerated() {
      guard case .lost(let error) = reactor.currentState else { continue }
      guard !lost.contains(index) else { continue }
      lastError = error
      areNew = true
      lose(
        index, wasOfUse: reactor.hadAnswers.load(ordering: .relaxed), wasAsked: reactor.hadRequests.load(ordering: .relaxed),
        at: now, random: random)
    }
    return (areNew, lastError)
  }
}
