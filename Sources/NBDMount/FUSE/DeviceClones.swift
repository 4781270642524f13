import NBDProtocol
import Synchronization

/// Clones of the device on their way to the threads that will read them.
final class DeviceClones: Sendable {
  private let raw = Mutex<[Int32]>([])

  func add(_ device: consuming OwnedDescriptor) {
    let number = device.release()
    raw.withLock { $0.append(number) }
  }

  /// One of them, for good; nil when all are taken.
  func take() -> OwnedDescriptor? {
    raw.withLock { $0.popLast() }.map { OwnedDescriptor($0) }
  }

  deinit {
    // Those that nobody took.
    for number in raw.withLock({ $0 }) { _ = OwnedDescriptor(number) }
  }
}
