import Glibc

/// How clients reach a server.
public enum Transport: String, CaseIterable, Sendable, CustomStringConvertible {
  case unix
  case tcp

  public var description: String { rawValue }
}

/// The address of one running server.
public enum Endpoint: Sendable {
  case unix(path: String)
  case tcp(port: UInt16)

  /// The NBD URI of an export; empty is the default export.
  public func uri(export: String = "") -> String {
    switch self {
    case .unix(let path): "nbd+unix:///\(export)?socket=\(path)"
    case .tcp(let port): "nbd://127.0.0.1:\(port)/\(export)"
    }
  }

  /// A port that was free a moment ago.
  static func freePort() throws -> UInt16 { try ClosedPort().number }

  /// Binds `descriptor` to a free port of this machine, and returns it.
  fileprivate static func bindToFreePort(_ descriptor: Int32) throws -> UInt16 {
    var address = loopback(port: 0)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withGenericAddress(&address) { bind(descriptor, $0, size) == 0 ? getsockname(descriptor, $0, &size) : -1 }
    guard code == 0 else { throw TestFailure.errno("cannot find a free port") }
    return UInt16(bigEndian: address.sin_port)
  }

  /// Returns as soon as somebody listens: no event tells another process's listen().
  func waitForListener(within deadline: Duration) async throws {
    try await poll("a server on \(uri())", within: deadline) { connects() }
  }

  private func connects() -> Bool {
    switch self {
    case .tcp(let port):
      let descriptor = socket(AF_INET, Self.streamSocket, 0)
      defer { close(descriptor) }
      var address = Self.loopback(port: port)
      return Self.withGenericAddress(&address) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    case .unix(let path):
      guard let descriptor = try? UnixSocket.connect(to: path) else { return false }
      close(descriptor)
      return true
    }
  }

  fileprivate static var streamSocket: Int32 { Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue) }

  private static func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  private static func withGenericAddress<R>(
    _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> R
  ) -> R {
    withUnsafeMutablePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
  }
}

/// A TCP port of this machine that nobody listens on, and nobody can as long as this lives.
public final class ClosedPort: Sendable {
  public let number: UInt16
  private let descriptor: Int32

  public init() throws {
    descriptor = socket(AF_INET, Endpoint.streamSocket, 0)
    number = try Endpoint.bindToFreePort(descriptor)
  }

  deinit { close(descriptor) }
}
