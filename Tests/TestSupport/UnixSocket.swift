import Foundation
import Glibc

/// Unix sockets of the test process itself.
public enum UnixSocket {
  /// Connects to `path`; the caller closes the descriptor.
  public static func connect(to path: String) throws -> Int32 {
    try make("connect to", path) { Glibc.connect($0, $1, $2) }
  }

  /// Listens on `path`; the caller closes the descriptor.
  public static func listen(on path: String) throws -> Int32 {
    try make("listen on", path) { bind($0, $1, $2) == 0 ? Glibc.listen($0, 8) : -1 }
  }

  /// A datagram socket that receives at `path`; the caller closes the descriptor.
  public static func receiver(at path: String) throws -> Int32 {
    try make("receive at", path, SOCK_DGRAM) { bind($0, $1, $2) }
  }

  private static func make(
    _ what: String, _ path: String, _ type: __socket_type = SOCK_STREAM, _ attach: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let isShortEnough = withUnsafeMutableBytes(of: &address.sun_path) { bytes in
      guard path.utf8.count < bytes.count else { return false }
      bytes.copyBytes(from: path.utf8)
      return true
    }
    guard isShortEnough else { throw TestFailure("too long for a socket: \(path)") }
    let descriptor = socket(AF_UNIX, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        attach(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard code == 0 else {
      let failure = TestFailure.errno("\(what) \(path)")
      close(descriptor)
      throw failure
    }
    return descriptor
  }
}

/// A server that says the same bytes to every client and nothing else: for greetings that are wrong.
public final class GreetingServer: Sendable {
  public let path: String
  /// Happens when a client has connected.
  public let hasClient = OneShot<Bool>()
  private let listener: Int32

  /// - Parameter hangsUp: closes the connection after the greeting; otherwise it stays silent until the client closes.
  public init(_ greeting: [UInt8], hangsUp: Bool, in directory: TemporaryDirectory) throws {
    path = directory / "greeting\(UInt32.random(in: 0 ... .max)).sock"
    let listener = try UnixSocket.listen(on: path)
    self.listener = listener
    Thread.detachNewThread { [hasClient] in
      while case let client = accept(listener, nil, nil), client >= 0 {
        hasClient.fire(true)
        _ = send(client, greeting, greeting.count, Int32(MSG_NOSIGNAL))
        var ignored: [UInt8] = [0]
        while !hangsUp, recv(client, &ignored, 1, 0) > 0 {}
        close(client)
      }
      close(listener)
    }
  }

  /// Ends the accepting thread, which closes the socket.
  deinit { shutdown(listener, Int32(SHUT_RDWR)) }

  public var uri: String { "nbd+unix:///?socket=\(path)" }
}
