/// Sends flushes on our own account, so that the ``WriteLog`` stays small: one thread, as long as requests may wait for a connection.
///
/// One is sent when the log is half full, which keeps writers from waiting for it, and a few seconds after the first entry, so that
/// what has to be sent again after a loss is not much. One that fails is told to whoever asks for the next flush.
struct LogKeeper: Sendable {
  private let log: WriteLog
  private let news: Semaphore
  private let connections: ConnectionSet

  /// - Parameter news: signalled when the log has some, and at the end.
  init(_ log: WriteLog, _ news: Semaphore, _ connections: ConnectionSet) {
    self.log = log
    self.news = news
    self.connections = connections
  }

  func start() throws(NBDError) { try POSIXThread.startDetached("the write log") { run() } }

  private func run() {
    var rule = FlushRule()
    while !connections.isEnding {
      let now = MonotonicClock.now
      switch rule.next(isEmpty: log.isEmpty, wantsFlush: log.wantsFlush, at: now) {
      case .rest: news.wait()
      case .wait(let until): news.wait(milliseconds: Int((until - now) / 1_000_000 + 1))
      case .flush:
        var flush = Operation(.flush, token: Token(.mailbox, 0))
        flush.isForLog = true
        // Whether it fails is noted where it ends, before another one can.
        _ = connections.run(flush)
      }
    }
  }
}

/// When to send a flush on our own account: the decision, without a clock.
struct FlushRule {
  enum Step: Hashable {
    /// Nothing, before the log has an entry.
    case rest
    /// Nothing, before the log says so or that time has come.
    case wait(until: UInt64)
    case flush
  }

  /// Nanoseconds that an entry stays without a flush of ours.
  private static let patience: UInt64 = 5_000_000_000

  /// When it was first seen that the log has entries.
  private var since: UInt64?

  mutating func next(isEmpty: Bool, wantsFlush: Bool, at now: UInt64) -> Step {
    guard !isEmpty else {
      since = nil
      return .rest
    }
    let since = self.since ?? now
    self.since = since
    guard wantsFlush || now - since >= Self.patience else { return .wait(until: since + Self.patience) }
    self.since = nil
    return .flush
  }
}
