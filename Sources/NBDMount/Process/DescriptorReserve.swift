import Glibc
import Synchronization

/// Descriptors that are kept for the end: to unmount takes a few, and by then there may be none left to be had.
final class DescriptorReserve: Sendable {
  private let kept: Mutex<[Int32]>

  /// Keeps up to `count`: fewer where there are no more.
  init(_ count: Int) {
    kept = Mutex((0..<count).map { _ in open("/dev/null", O_RDONLY | O_CLOEXEC) }.filter { $0 >= 0 })
  }

  /// Makes room. From any thread; again is harmless.
  func release() {
    let descriptors = kept.withLock { kept in
      defer { kept = [] }
      return kept
    }
    for descriptor in descriptors { close(descriptor) }
  }

  deinit { release() }
}
