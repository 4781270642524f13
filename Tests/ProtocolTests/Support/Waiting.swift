import Glibc

@testable import NBDProtocol

/// A moment that other threads can wait for, with a bound, because a test must end.
final class Moment: Sendable {
  private let semaphore = Semaphore()

  func happened() { semaphore.signal() }

  /// Waits for one ``happened()``. False after ten seconds.
  @discardableResult
  func wait(seconds: Int = 10) -> Bool { semaphore.wait(milliseconds: seconds * 1000) }
}

/// Whether `condition` comes true within ten seconds; for what no event announces.
func eventually(_ condition: () -> Bool) -> Bool {
  let deadline = Deadline.after(milliseconds: 10_000)
  while !condition() {
    if deadline.hasPassed { return false }
    usleep(1000)
  }
  return true
}

/// Runs blocking work on a thread of its own: Swift's cooperative pool has none to spare.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    do {
      pthread_detach(try POSIXThread.start("a test") { continuation.resume(with: Result(catching: work)) })
    } catch { continuation.resume(throwing: error) }
  }
}

/// Runs `count` copies of `work` on threads of their own and waits for all.
func onThreads(_ count: Int, _ work: @escaping @Sendable (Int) -> Void) async throws {
  try await withThrowingTaskGroup(of: Void.self) { group in
    for number in 0..<count { group.addTask { try await onThread { work(number) } } }
    try await group.waitForAll()
  }
}

/// The error of a blocking call, or nil where there was none.
func failure(_ work: () throws(NBDError) -> Void) -> NBDError? {
  do throws(NBDError) {
    try work()
    return nil
  } catch { return error }
}
