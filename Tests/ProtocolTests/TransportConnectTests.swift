import CLinux
import Glibc
import SystemPackage
import Testing

@testable import NBDProtocol

@Suite(.timeLimit(.minutes(10))) struct TransportConnectTests {
  private let soon = Deadline.after(milliseconds: 10_000)

  @Test(arguments: ["127.0.0.1", "::1"]) func tcpConnectionHasItsOptions(_ host: String) throws {
    let listener = try Listener(host: host)
    let socket = try ServerEndpoint(.tcp(host: host, port: listener.port)).connect(deadline: soon)
    #expect(fcntl(socket.rawValue, F_GETFL) & O_NONBLOCK != 0)
    #expect(!Syscall.isInheritable(socket.rawValue))
    #expect(try Syscall.option(SO_KEEPALIVE, of: socket.rawValue) == 1)
    let tcp = Int32(IPPROTO_TCP)
    for (option, value) in [
      (TCP_NODELAY, 1), (TCP_KEEPIDLE, 15), (TCP_KEEPINTVL, 5), (TCP_KEEPCNT, 3), (TCP_USER_TIMEOUT, 0),
    ] {
      #expect(try Syscall.option(option, level: tcp, of: socket.rawValue) == Int32(value))
    }
  }

  @Test func unixConnectionHasItsOptions() throws {
    let scratch = try Scratch()
    let path = Array(scratch.file("socket").utf8)
    let plain = try Syscall.socket(family: AF_UNIX, blocking: true)
    let listener = try Listener(try SocketAddress(unixPath: path))
    let socket = try ServerEndpoint(.unix(path: path)).connect(deadline: soon)
    #expect(fcntl(socket.rawValue, F_GETFL) & O_NONBLOCK != 0)
    #expect(!Syscall.isInheritable(socket.rawValue))
    // The kernel doubles what it is asked for, up to a limit that differs from system to system.
    #expect(
      try Syscall.option(SO_SNDBUF, of: socket.rawValue) > Syscall.option(SO_SNDBUF, of: plain.rawValue))
    let accepted = try listener.accept()
    #expect(try valueOrErrno { Glibc.write(accepted.rawValue, "x", 1) } == 1)
    #expect(try read(socket.rawValue) { $0.count == 1 } == [UInt8(ascii: "x")])
  }

  @Test func abstractUnixSocket() throws {
    let path = [0] + Array("nbdmount-test-\(getpid())".utf8) + [0, 1]
    let listener = try Listener(try SocketAddress(unixPath: path))
    let socket = try ServerEndpoint(.unix(path: path)).connect(deadline: soon)
    #expect(try Syscall.peerAddress(socket.rawValue).bytes == listener.address.bytes)
    let other = ServerAddress.unix(path: path.dropLast())
    let error = try message { _ = try ServerEndpoint(other).connect(deadline: soon) }
    #expect(error == "connecting to Unix socket @nbdmount-test-\(getpid())\\u{0}: Connection refused")
  }

  @Test func refusedNamesTheAddress() throws {
    let closed = try ClosedPort()
    let error = #expect(throws: NBDError.self) {
      _ = try ServerEndpoint(.tcp(host: "127.0.0.1", port: closed.port)).connect(deadline: soon)
    }
    #expect(error == .system(.connectionRefused, doing: "connecting to 127.0.0.1:\(closed.port)"))
    let byName = try message {
      _ = try Connector.connect(toFirstOf: [closed.address], named: "localhost:1", deadline: soon)
    }
    #expect(byName == "connecting to localhost:1: 127.0.0.1: Connection refused")
  }

  @Test func everyAddressIsTriedAndNamed() throws {
    let first = try ClosedPort(host: "::1")
    let second = try ClosedPort()
    let error = try message {
      _ = try Connector.connect(toFirstOf: [first.address, second.address], named: "localhost:1", deadline: soon)
    }
    #expect(error == "connecting to localhost:1: [::1]: Connection refused; 127.0.0.1: Connection refused")
    let listener = try Listener()
    let socket = try Connector.connect(
      toFirstOf: [first.address, listener.address], named: "localhost", deadline: soon)
    #expect(try Syscall.peerAddress(socket.rawValue).bytes == listener.address.bytes)
  }

  @Test func missingUnixSocketNamesThePath() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/no\u{1b}such"
    let error = try message {
      _ = try ServerEndpoint(.unix(path: Array(path.utf8))).connect(deadline: soon)
    }
    #expect(error == "connecting to Unix socket \(scratch.path)/no\\u{1b}such: No such file or directory")
  }

  @Test func unixPathsThatNoSocketCanHave() throws {
    let paths = ["": "is empty", "/a\u{0}b": "contains a NUL byte", String(repeating: "x", count: 108): "108 bytes long"]
    for (path, reason) in paths {
      let error = try message {
        _ = try ServerEndpoint(.unix(path: Array(path.utf8))).connect(deadline: soon)
      }
      #expect(error.contains(reason))
    }
  }

  @Test func unresolvableNameIsNamed() async throws {
    // No label has more than 63 letters (RFC 1035), so no query for this one ever leaves the machine.
    let host = String(repeating: "x", count: 64) + ".invalid"
    let error = try await blocking {
      try message {
        _ = try ServerEndpoint(.tcp(host: host, port: 10809)).connect(deadline: .after(milliseconds: 10_000))
      }
    }
    let expected = "cannot resolve \"\(host)\" port 10809: "
    #expect(error.hasPrefix(expected) && error.count > expected.count, "\(error)")
  }

  @Test func hostsThatCWouldReadDifferently() throws {
    for host in ["127.0.0.1\u{0}.example.com", String(repeating: "x", count: 5000)] {
      let error = try message {
        _ = try ServerEndpoint(.tcp(host: host, port: 1)).connect(deadline: soon)
      }
      #expect(error.contains("is not a host name and a port"))
    }
  }

  // sockaddr_vm: family, reserved, port, context identifier, in the machine's order
  @Test func aVsockAddressHasItsNumbers() {
    let bytes = SocketAddress(cid: 0x0102_0304, port: 0x0506_0708).bytes
    func number(_ offset: Int) -> UInt32 { bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) } }
    #expect(bytes[0] == 40 && bytes[1] == 0, "AF_VSOCK")
    #expect(number(4) == 0x0506_0708 && number(8) == 0x0102_0304)
  }

  @Test func vsockWithoutServerNamesTheAddress() async throws {
    let error = try await blocking {
      try message {
        _ = try ServerEndpoint(.vsock(cid: 1, port: 4_000_000_000)).connect(deadline: .after(milliseconds: 500))
      }
    }
    #expect(error.contains("connecting to vsock 1:4000000000"))
  }

  @Test func portsAndServices() throws {
    #expect(try ServerAddress.tcp(host: "h", service: "10809") == .tcp(host: "h", port: 10809))
    #expect(try ServerAddress.tcp(host: "h", service: "http") == .tcp(host: "h", port: 80))
    for service in ["0", "65536", "-1", "no such service"] {
      #expect(throws: NBDError.self) { try ServerAddress.tcp(host: "h", service: service) }
    }
  }

  @Test func addressesDescribeThemselvesWithoutSecrets() {
    #expect(ServerAddress.tcp(host: "::1", port: 1).description == "[::1]:1")
    #expect(ServerAddress.unix(path: [0] + Array("a".utf8)).description == "Unix socket @a")
    #expect(ServerAddress.command(["nbdkit", "password=secret"]).description == "server nbdkit")
    #expect(ServerAddress.socketActivation([]).description == "server ")
  }

  // HS-024
  @Test func withoutAPortItIsTheRegisteredOne() throws {
    // An address of the loopback network that hardly anybody uses. Where a server listens on all of them, it is that one.
    let host = "127.108.9.1"
    let wanted = try #require(try SocketAddress.resolve(host: host, service: "10809").first)
    let socket = try Syscall.socket(family: wanted.family, blocking: true)
    do {
      try Syscall.bind(socket.rawValue, to: wanted)
      try Syscall.listen(socket.rawValue, backlog: 1)
    } catch { #expect(error == .addressInUse) }
    let connected = try ServerEndpoint(try NBDURI("nbd://\(host)")).connect(deadline: soon)
    #expect(try Syscall.peerAddress(connected.rawValue).port == 10809)
  }

  @Test func aSocketConnectedToItselfIsRecognised() throws {
    let address = try #require(try SocketAddress.resolve(host: "127.0.0.1", service: "0").first)
    let socket = try Syscall.socket(family: AF_INET, blocking: true)
    try Syscall.bind(socket.rawValue, to: address)
    #expect(Syscall.connectOnce(socket.rawValue, to: try Syscall.localAddress(socket.rawValue)) == nil)
    #expect(try Connector.isConnectedToItself(socket.rawValue))
    let listener = try Listener()
    let ordinary = try Connector.connect(to: listener.address, deadline: soon)
    #expect(try !Connector.isConnectedToItself(ordinary.rawValue))
  }
}
