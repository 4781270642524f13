import NBDProtocol
import Synchronization

/// A thread for work that may never end, started in good time: when the work is there, there may be no room for another thread.
final class StandbyThread: Sendable {
  private let work = Mutex<(@Sendable () -> Void)?>(nil)
  private let hasWork = Semaphore()
  private let isDone = Semaphore()

  init(_ name: String) throws(NBDError) {
    try POSIXThread.startDetached(name) { [self] in
      while true {
        hasWork.wait()
        work.withLock { $0.take() }?()
        isDone.signal()
      }
    }
  }

  /// Has the thread do `body`, and waits for that while `remaining` is above zero. After false, it is of no use any more.
  func run(_ body: @escaping @Sendable () -> Void, remaining: () -> Duration) -> Bool {
    work.withLock { $0 = body }
    hasWork.signal()
    while true {
      let left = remaining()
      guard left > .zero else { return isDone.wait(milliseconds: 0) }
      if isDone.wait(milliseconds: Int(min(left, .milliseconds(250)).pollTimeout)) { return true }
    }
  }
}
