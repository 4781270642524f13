import SystemPackage

/// Where the server is, or how to start it.
public enum ServerAddress: Hashable, Sendable {
  /// TCP. `host` is a name or a literal address without brackets; its addresses, IPv4 and IPv6, are tried in order.
  case tcp(host: String, port: UInt16)
  /// A Unix stream socket. The first byte 0 means Linux's abstract namespace; longer than `sun_path` is an error.
  case unix(path: [UInt8])
  /// A VM socket: context identifier (2 is the host, 1 this machine) and port.
  case vsock(cid: UInt32, port: UInt32)
  /// A connected stream socket that this process has inherited. Its ownership moves to the endpoint.
  case descriptor(Int32)
  /// A server to start, which speaks NBD on its standard input and output: program (looked up in `PATH`) and arguments.
  case command([String])
  /// A server to start, which accepts connections on the listening socket it inherits (systemd socket activation).
  case socketActivation([String])

  /// The port that IANA assigned to NBD (*NBD URI authority*).
  public static let defaultPort: UInt16 = 10809

  /// TCP with the port as a person types it: a number from 1 to 65535, or the name of a service.
  ///
  /// Throws ``NBDError/invalidArgument(_:)`` for a number out of range, ``NBDError/disconnected(_:)`` for an unknown name.
  public static func tcp(host: String, service: String) throws(NBDError) -> ServerAddress {
    if let number = Int(service) {
      guard let port = UInt16(exactly: number), port > 0 else {
        throw .invalidArgument("port \(number) is not between 1 and 65535")
      }
      return .tcp(host: host, port: port)
    }
    // Asked for this machine, getaddrinfo only reads the list of services: nothing goes to the network.
    guard let port = try SocketAddress.resolve(host: nil, service: service).lazy.compactMap(\.port).first else {
      throw .invalidArgument("\"\(printable(service))\" is not a port")
    }
    return .tcp(host: host, port: port)
  }

  /// It is a program, which is started for the connection.
  package var isStarted: Bool {
    switch self {
    case .command, .socketActivation: true
    case .tcp, .unix, .vsock, .descriptor: false
    }
  }

  /// Most connections that can be made to it, `nil` where only the server decides.
  public var maximumConnections: Int? {
    switch self {
    case .tcp, .unix, .vsock, .socketActivation: nil
    case .descriptor, .command: 1
    }
  }
}

extension ServerAddress: CustomStringConvertible {
  /// For messages. Of a command only the program is named: arguments may hold passwords.
  public var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "[\(printable(host))]:\(port)" : "\(printable(host)):\(port)"
    case .unix(let path): "Unix socket \(unixPathDescription(path))"
    case .vsock(let cid, let port): "vsock \(cid):\(port)"
    case .descriptor(let number): "file descriptor \(number)"
    case .command(let arguments), .socketActivation(let arguments): "server \(printable(arguments.first ?? ""))"
    }
  }
}
