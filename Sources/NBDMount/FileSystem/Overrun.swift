import Glibc
import NBDProtocol
import Synchronization

/// A buffered write beyond the end, after which the kernel's cache believes the file to be larger than it is.
///
/// That is put right (by ``SizeKeeper``) only when somebody looks at the file, and only some time later: it takes a child that uses
/// the mount for a moment, and whoever has just failed to write may be about to unmount. Any thread.
final class Overrun: Sendable {
  /// Second of the last one; 0 for none that has not been put right.
  private let time = Atomic<Int>(0)
  private let semaphore = Semaphore()

  func happened() { time.store(Self.seconds(), ordering: .relaxed) }

  /// Somebody looks at the file.
  func looked() {
    let time = self.time.load(ordering: .relaxed)
    guard time > 0, Self.seconds() - time > 1 else { return }
    if self.time.exchange(0, ordering: .relaxed) > 0 { semaphore.signal() }
  }

  /// Blocks until there is a size to be put right.
  func wait() {
    semaphore.wait()
    // There may have been several; to put the size right once is enough for them.
    while semaphore.wait(milliseconds: 0) {}
  }

  private static func seconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return max(1, time.tv_sec)
  }
}
