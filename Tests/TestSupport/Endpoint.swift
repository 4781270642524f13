import Foundation
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
  static func freePort() throws -> UInt16 {
    let descriptor = socket(AF_INET, streamSocket, 0)
    defer { close(descriptor) }
    var address = loopback(port: 0)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withGenericAddress(&address) { bind(descriptor, $0, size) == 0 ? getsockname(descriptor, $0, &size) : -1 }
    guard code == 0 else { throw TestFailure.errno("cannot find a free port") }
    return UInt16(bigEndian: address.sin_port)
  }

  /// True as soon as somebody listens, false when nobody does within `deadline`.
  func acceptsConnections(within deadline: Duration) async -> Bool {
    let clock = ContinuousClock()
    let end = clock.now + deadline
    while clock.now < end {
      if connects() { return true }
      // No event tells another process's listen(); a server that can say it is ready is not asked this way.
      try? await Task.sleep(for: .milliseconds(5))
    }
    return false
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

  private static var streamSocket: Int32 { Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue) }

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

extension Endpoint {
  /// How many clients are connected to this Unix socket now.
  public func connectionCount() throws -> Int {
    guard case .unix(let path) = self else { throw TestFailure("counts Unix sockets only") }
    // To the end: one read of a file in /proc gives a part of it.
    let bytes = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/net/unix")).readToEnd() ?? Data()
    let table = String(decoding: bytes, as: UTF8.self)
    return table.split(separator: "\n").count { line in
      // Num RefCount Protocol Flags Type State Inode Path; state 03 is connected, and only the server's end has the path.
      let fields = line.split(separator: " ")
      return fields.count == 8 && fields[5] == "03" && fields[7] == path
    }
  }
}
