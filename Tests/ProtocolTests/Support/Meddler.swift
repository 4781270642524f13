import Foundation
import Glibc
import Synchronization
import TestSupport

@testable import NBDProtocol

/// Somebody on the way between a client and a server, who changes what is said in the clear.
final class Meddler: Sendable {
  enum Deed: Sendable {
    /// Answers `NBD_OPT_STARTTLS` in the server's place, that there is no such option.
    case strips
    /// Puts these bytes behind the server's acknowledgement.
    case injects([UInt8])
  }

  let path: String
  private let listener: Int32
  private let thread: pthread_t
  private let said: Box

  /// What the client said after the deed.
  private final class Box: Sendable { let bytes = Mutex<[UInt8]>([]) }

  /// For one client.
  init(_ deed: Deed, before server: ServerAddress, in directory: TemporaryDirectory) throws {
    path = directory / "meddler\(UInt32.random(in: 0 ... .max)).sock"
    let listener = try UnixSocket.listen(on: path)
    self.listener = listener
    let said = Box()
    self.said = said
    thread = try POSIXThread.start("a meddler") {
      let client = OwnedDescriptor(accept(listener, nil, nil))
      guard let server = try? ServerEndpoint(server).connect(deadline: .after(milliseconds: 5000)) else { return }
      guard let greeting = read(server.rawValue, 18), write(client.rawValue, greeting), let asked = read(client.rawValue, 20)
      else { return }
      switch deed {
      case .strips:
        guard write(server.rawValue, Array(asked.prefix(4))), write(client.rawValue, Server.error(5, 1)) else { return }
      case .injects(let bytes):
        guard write(server.rawValue, asked), let answer = read(server.rawValue, 20), write(client.rawValue, answer + bytes)
        else { return }
      }
      var byte: [UInt8] = [0]
      while recv(client.rawValue, &byte, 1, 0) == 1 { said.bytes.withLock { $0 += byte } }
    }
  }

  /// Waits until the client is gone. All that it said after the deed.
  func heard() -> [UInt8] {
    shutdown(listener, Int32(SHUT_RDWR))
    pthread_join(thread, nil)
    close(listener)
    return said.bytes.withLock { $0 }
  }
}

private func read(_ socket: Int32, _ count: Int) -> [UInt8]? {
  var bytes: [UInt8] = []
  while bytes.count < count {
    var descriptor = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    guard poll(&descriptor, 1, 10_000) == 1 else { return nil }
    var buffer = [UInt8](repeating: 0, count: count - bytes.count)
    let got = recv(socket, &buffer, buffer.count, 0)
    guard got > 0 else { return nil }
    bytes += buffer.prefix(got)
  }
  return bytes
}

private func write(_ socket: Int32, _ bytes: [UInt8]) -> Bool {
  send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
}
