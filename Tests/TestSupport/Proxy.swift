import Dispatch
import Foundation
import Glibc
import Synchronization

/// A byte-level proxy in front of a server on a Unix socket, whose connections can be cut one by one.
public final class Proxy: Sendable {
  /// The two ends of a connection. They stay open until the proxy closes, so that their numbers are not another's.
  private struct Connection {
    var client: Int32
    var server: Int32

    func cut() {
      shutdown(client, Int32(SHUT_RDWR))
      shutdown(server, Int32(SHUT_RDWR))
    }
  }

  public let path: String
  private let server: String
  private let listener: Int32
  /// In the order of their arrival.
  private let connections = Mutex<[Connection]>([])
  private let threads = DispatchGroup()

  /// - Parameter server: the socket to pass everything on to.
  public init(to server: String, in directory: TemporaryDirectory) throws {
    self.server = server
    path = directory / "proxy\(UInt32.random(in: 0 ... .max)).sock"
    listener = try UnixSocket.listen(on: path)
    threads.enter()
    Thread.detachNewThread { [self] in
      while case let client = accept(listener, nil, nil), client >= 0 { take(client) }
      threads.leave()
    }
  }

  public var uri: String { "nbd+unix:///?socket=\(path)" }

  /// How many connections there were.
  public var count: Int { connections.withLock { $0.count } }

  /// Cuts connection `number`, counted from 0, as a network that fails would: both ends see the end of the stream.
  public func cut(_ number: Int) { connections.withLock { $0[number].cut() } }

  /// Cuts all, and takes no more. Has to be called.
  public func close() {
    shutdown(listener, Int32(SHUT_RDWR))
    connections.withLock { for connection in $0 { connection.cut() } }
    threads.wait()
    for connection in connections.withLock({ $0 }) {
      Glibc.close(connection.client)
      Glibc.close(connection.server)
    }
    Glibc.close(listener)
  }

  private func take(_ client: Int32) {
    guard let server = try? UnixSocket.connect(to: server) else {
      Glibc.close(client)
      return
    }
    connections.withLock { $0.append(Connection(client: client, server: server)) }
    for (from, to) in [(client, server), (server, client)] {
      threads.enter()
      Thread.detachNewThread { [threads] in
        Self.pass(from, to)
        shutdown(to, Int32(SHUT_WR))
        threads.leave()
      }
    }
  }

  private static func pass(_ from: Int32, _ to: Int32) {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = recv(from, &buffer, buffer.count, 0), count > 0 {
      var sent = 0
      while sent < count {
        let now = buffer.withUnsafeBytes { send(to, $0.baseAddress.map { $0 + sent }, count - sent, Int32(MSG_NOSIGNAL)) }
        if now <= 0 { return }
        sent += now
      }
    }
  }
}
