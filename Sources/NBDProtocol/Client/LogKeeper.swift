/// Sends flushes on our own account, so that the ``WriteLog`` stays small: one thread, as long as requests may wait for a connection.
///
/// One is sent when the log is half full, which keeps writers from waiting for it, and a few seconds after the first entry, so that
/// what has to be sent again after a loss is not much. One that fails is told to whoever asks for the next flush.
struct LogKeeper: Sendable {
  /// Milliseconds that an entry stays without a flush of ours.
  private static let patience = 5000

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
    while !connections.isEnding {
      if log.isEmpty {
        news.wait()
        continue
      }
      let deadline = Deadline.after(milliseconds: Self.patience)
      while !log.wantsFlush, !connections.isEnding, !deadline.hasPassed {
        news.wait(milliseconds: Int(deadline.pollTimeout))
      }
      guard !log.isEmpty, !connections.isEnding else { continue }
      let (outcome, _) = connections.run(Operation(.flush, token: Token(.mailbox, 0)))
      if case .failed = outcome { log.lose() }
    }
  }
}
