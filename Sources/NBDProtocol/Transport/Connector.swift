import CLinux
import Glibc
import SystemPackage

/// Makes connected, non-blocking stream sockets.
enum Connector {
  /// Connects to the first of `addresses` that answers, tried one after the other; `name` is what to call them
  /// together in messages. Each gets an equal share of the time left.
  ///
  /// Throws ``NBDError/timedOut(_:)`` where none answered in time, else `system` with every address and its error.
  static func connect(
    toFirstOf addresses: [SocketAddress], named name: String, deadline: Deadline
  ) throws(NBDError) -> OwnedDescriptor {
    var failures: [(address: SocketAddress, error: Errno)] = []
    for (index, address) in addresses.enumerated() {
      do {
        return try connect(to: address, deadline: deadline.share(of: addresses.count - index))
      } catch {
        failures.append((address, error))
      }
    }
    guard let last = failures.last else { throw .disconnected("\(name) has no address") }
    if failures.allSatisfy({ $0.error == .timedOut }) { throw .timedOut("connecting to \(name)") }
    let others = failures.dropLast().map { "\($0.address): \($0.error); " }.joined()
    let isNamed = last.address.port != nil && !name.contains("\(last.address)")
    throw .system(last.error, doing: "connecting to \(name)" + (isNamed ? ": \(others)\(last.address)" : ""))
  }

  /// Connects to one address. ETIMEDOUT stands for the deadline, too.
  static func connect(to address: SocketAddress, deadline: Deadline) throws(Errno) -> OwnedDescriptor {
    let socket = try Syscall.socket(family: address.family, blocking: false)
    switch Syscall.connectOnce(socket.rawValue, to: address) {
    case nil:
      break
    case .nowInProgress, .interrupted:
      // Interrupted or not, it goes on in the background; writability announces the outcome.
      guard try Syscall.poll(socket.rawValue, for: Int32(POLLOUT), until: deadline) else { throw .timedOut }
      let outcome = Errno(rawValue: try Syscall.option(SO_ERROR, of: socket.rawValue))
      if outcome.rawValue != 0 { throw outcome }
    case .resourceTemporarilyUnavailable where address.family == AF_UNIX:
      return try connectToBusyUnixSocket(address, deadline: deadline)
    case .some(let error):
      throw error
    }
    if try isConnectedToItself(socket.rawValue) { throw .connectionRefused }
    try configure(socket.rawValue, family: address.family)
    return socket
  }

  /// Waits for room in a Unix listener's backlog. No event announces that to a non-blocking socket (EAGAIN is
  /// neither in progress nor pollable), but a blocking `connect` waits for it, as long as `SO_SNDTIMEO` says.
  private static func connectToBusyUnixSocket(
    _ address: SocketAddress, deadline: Deadline
  ) throws(Errno) -> OwnedDescriptor {
    let socket = try Syscall.socket(family: AF_UNIX, blocking: true)
    while true {
      let remaining = deadline.remaining
      if remaining == 0 { throw .timedOut }
      try Syscall.setOption(SO_SNDTIMEO, of: socket.rawValue, to: timeval(nanoseconds: remaining))
      switch Syscall.connectOnce(socket.rawValue, to: address) {
      case nil:
        try Syscall.setOption(SO_SNDTIMEO, of: socket.rawValue, to: timeval())
        try Syscall.setNonBlocking(socket.rawValue)
        try configure(socket.rawValue, family: AF_UNIX)
        return socket
      // A Unix connect is never half done: after a signal or its timeout it simply starts again.
      case .interrupted, .resourceTemporarilyUnavailable: continue
      case .some(let error): throw error
      }
    }
  }

  /// TCP's simultaneous open: connecting to an ephemeral port of this machine on which nobody listens can pick
  /// that same port as its own, and succeed with itself. It would then even keep the server from starting.
  static func isConnectedToItself(_ socket: Int32) throws(Errno) -> Bool {
    let local = try Syscall.localAddress(socket)
    guard local.port != nil else { return false }
    return local.bytes == (try Syscall.peerAddress(socket)).bytes
  }

  /// Bytes of socket buffer on Unix sockets: the kernel's default holds less than one large request. The kernel
  /// silently cuts it down to `net.core.wmem_max`; TCP sizes its own buffers better than a fixed number could.
  static let unixBuffer: Int32 = 4 << 20

  /// A dead TCP peer is found after 15 s + 3 x 5 s of silence, while nothing is unacknowledged; otherwise by ``PeerWatch``. Not
  /// by `TCP_USER_TIMEOUT`: it also ends a connection whose server is slow to read, though its kernel answers every probe.
  private static let keepalive: [(option: Int32, value: Int32)] = [
    (TCP_NODELAY, 1), (TCP_KEEPIDLE, 15), (TCP_KEEPINTVL, 5), (TCP_KEEPCNT, 3),
  ]

  /// The socket options that a connection of that family wants.
  static func configure(_ socket: Int32, family: Int32) throws(Errno) {
    switch family {
    case AF_UNIX:
      try Syscall.setOption(SO_SNDBUF, of: socket, to: unixBuffer)
      try Syscall.setOption(SO_RCVBUF, of: socket, to: unixBuffer)
    case AF_INET, AF_INET6:
      try Syscall.setOption(SO_KEEPALIVE, of: socket, to: 1 as Int32)
      for (option, value) in keepalive {
        try Syscall.setOption(option, level: Int32(IPPROTO_TCP), of: socket, to: value)
      }
    default:
      break  // VM sockets have no such options.
    }
  }
}

extension timeval {
  /// A socket timeout of at least a microsecond, because 0 stands for no timeout, as `nil` does here.
  fileprivate init(nanoseconds: UInt64?) {
    let microseconds = nanoseconds.map { max(1, $0 / 1000) } ?? 0
    self.init(tv_sec: Int(clamping: microseconds / 1_000_000), tv_usec: Int(microseconds % 1_000_000))
  }
}
