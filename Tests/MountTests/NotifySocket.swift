import Foundation
import Synchronization
import TestSupport

/// A service manager's end of `NOTIFY_SOCKET`.
final class NotifySocket: Sendable {
  let path: String
  private let descriptor: Int32
  private let messages = Mutex<[String]>([])

  init(in directory: TemporaryDirectory) throws {
    path = directory / "notify"
    descriptor = try UnixSocket.receiver(at: path)
  }

  deinit { close(descriptor) }

  /// All datagrams until now.
  func received() -> [String] {
    messages.withLock { messages in
      var buffer = [UInt8](repeating: 0, count: 4096)
      while case let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT)), count >= 0 {
        messages.append(String(decoding: buffer.prefix(count), as: UTF8.self))
      }
      return messages
    }
  }
}
