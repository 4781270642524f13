import CLinux
import Glibc

/// `sem_t(3)` at an address of its own, for threads that wait for each other without a lock.
///
/// Sendable because POSIX semaphores are made for that, and the memory lives as long as the object.
package final class Semaphore: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  package init() {
    semaphore.initialize(to: sem_t())
    sem_init(semaphore, 0, 0)
  }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  package func signal() { sem_post(semaphore) }

  /// Through any number of Unix signals.
  package func wait() { waitForSemaphore(semaphore) }

  /// Waits at most `milliseconds`. False where they passed without a signal.
  @discardableResult
  package func wait(milliseconds: Int) -> Bool { waitForSemaphore(semaphore, milliseconds: milliseconds) }
}

/// `sem_wait(3)` through any number of signals.
func waitForSemaphore(_ semaphore: UnsafeMutablePointer<sem_t>) {
  while sem_wait(semaphore) == -1 && errno == EINTR {}
}

/// The same for at most `milliseconds`, by the clock that nobody sets. False where they passed without a signal.
func waitForSemaphore(_ semaphore: UnsafeMutablePointer<sem_t>, milliseconds: Int) -> Bool {
  var until = Deadline.after(milliseconds: milliseconds).timespec
  while sem_clockwait(semaphore, CLOCK_MONOTONIC, &until) == -1 {
    if errno != EINTR { return false }
  }
  return true
}
