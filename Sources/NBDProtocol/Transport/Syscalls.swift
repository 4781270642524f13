import CLinux
import Glibc
import SystemPackage

// The system calls that this library makes outside its reactor, one typed function for each, so that EINTR and
// errno are dealt with in one place. swift-system has no sockets and no processes.

/// Calls `body` until no signal interrupts it; errno is read right after the call, before anything can change it.
@inline(__always)
func valueOrErrno<Value: FixedWidthInteger & SignedInteger>(_ body: () -> Value) throws(Errno) -> Value {
  while true {
    let value = body()
    if value != -1 { return value }
    let error = Errno(rawValue: errno)
    if error != .interrupted { throw error }
  }
}

/// The same, where the value says nothing but success.
@inline(__always)
func nothingOrErrno<Value: FixedWidthInteger & SignedInteger>(_ body: () -> Value) throws(Errno) {
  _ = try valueOrErrno(body)
}

/// Gives a bare errno its context: "`what`: error text".
func doing<Value: ~Copyable>(
  _ what: @autoclosure () -> String, _ body: () throws(Errno) -> Value
) throws(NBDError) -> Value {
  do { return try body() } catch { throw .system(error, doing: what()) }
}

enum Syscall {
  private static let stream = Int32(SOCK_STREAM.rawValue)
  private static let closeOnExec = Int32(SOCK_CLOEXEC.rawValue)
  private static let nonBlocking = Int32(SOCK_NONBLOCK.rawValue)

  /// `socket(2)`: a stream socket, closed on exec.
  static func socket(family: Int32, blocking: Bool) throws(Errno) -> OwnedDescriptor {
    OwnedDescriptor(try valueOrErrno { Glibc.socket(family, stream | closeOnExec | (blocking ? 0 : nonBlocking), 0) })
  }

  /// `socketpair(2)`: two connected Unix stream sockets, both blocking and closed on exec.
  static func socketpair() throws(Errno) -> DescriptorPair {
    var ends: (Int32, Int32) = (-1, -1)
    try nothingOrErrno {
      withUnsafeMutableBytes(of: &ends) {
        Glibc.socketpair(AF_UNIX, stream | closeOnExec, 0, $0.assumingMemoryBound(to: Int32.self).baseAddress)
      }
    }
    return DescriptorPair(near: OwnedDescriptor(ends.0), far: OwnedDescriptor(ends.1))
  }

  /// `connect(2)`, once: an interrupted one goes on in the background, and calling again would say EALREADY.
  static func connectOnce(_ socket: Int32, to address: SocketAddress) -> Errno? {
    address.withSockaddr { Glibc.connect(socket, $0, $1) } == 0 ? nil : Errno(rawValue: errno)
  }

  /// `bind(2)`.
  static func bind(_ socket: Int32, to address: SocketAddress) throws(Errno) {
    try nothingOrErrno { address.withSockaddr { Glibc.bind(socket, $0, $1) } }
  }

  /// `listen(2)`.
  static func listen(_ socket: Int32, backlog: Int32 = SOMAXCONN) throws(Errno) {
    try nothingOrErrno { Glibc.listen(socket, backlog) }
  }

  /// `getsockname(2)`: this end's address.
  static func localAddress(_ socket: Int32) throws(Errno) -> SocketAddress {
    try SocketAddress { (storage, length) throws(Errno) in
      try nothingOrErrno { Glibc.getsockname(socket, storage, length) }
    }
  }

  /// `getpeername(2)`: the other end's address.
  static func peerAddress(_ socket: Int32) throws(Errno) -> SocketAddress {
    try SocketAddress { (storage, length) throws(Errno) in
      try nothingOrErrno { Glibc.getpeername(socket, storage, length) }
    }
  }

  /// `getsockopt(2)` for options that are an `int`.
  static func option(_ name: Int32, level: Int32 = SOL_SOCKET, of socket: Int32) throws(Errno) -> Int32 {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try nothingOrErrno { Glibc.getsockopt(socket, level, name, &value, &size) }
    return value
  }

  /// `setsockopt(2)`: `Int32` for most options, `timeval` for the timeouts.
  static func setOption<Value: BitwiseCopyable>(
    _ name: Int32, level: Int32 = SOL_SOCKET, of socket: Int32, to value: Value
  ) throws(Errno) {
    try nothingOrErrno {
      withUnsafeBytes(of: value) { Glibc.setsockopt(socket, level, name, $0.baseAddress, socklen_t($0.count)) }
    }
  }

  /// `poll(2)` for one descriptor: whether one of `events`, an error or the end came before `deadline`.
  static func poll(_ descriptor: Int32, for events: Int32, until deadline: Deadline) throws(Errno) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: events), revents: 0)
    // The time left is computed afresh in each round, so signals do not stretch it.
    return try valueOrErrno { Glibc.poll(&entry, 1, deadline.pollTimeout) } > 0
  }

  /// `getsockopt(2)` with `TCP_INFO`; fails where the socket is not one of TCP.
  static func tcpInformation(_ socket: Int32) throws(Errno) -> tcp_info {
    var information = tcp_info()
    var size = socklen_t(MemoryLayout<tcp_info>.size)
    try nothingOrErrno { getsockopt(socket, Int32(IPPROTO_TCP), TCP_INFO, &information, &size) }
    return information
  }

  /// `fcntl(F_SETFL)`: `O_NONBLOCK`. It belongs to the open file, so whoever shares it sees the change.
  static func setNonBlocking(_ descriptor: Int32) throws(Errno) {
    let flags = try valueOrErrno { Glibc.fcntl(descriptor, F_GETFL) }
    try nothingOrErrno { Glibc.fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
  }

  /// `fcntl(F_SETFD)`: `FD_CLOEXEC`.
  static func setCloseOnExec(_ descriptor: Int32) throws(Errno) {
    try nothingOrErrno { Glibc.fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
  }

  /// `fcntl(F_GETFD)`: whether a process started now would inherit that number.
  static func isInheritable(_ descriptor: Int32) -> Bool {
    let flags = Glibc.fcntl(descriptor, F_GETFD)
    return flags != -1 && flags & FD_CLOEXEC == 0
  }

  /// `fcntl(F_DUPFD_CLOEXEC)`: a second number, at least `minimum`, for the same open file.
  static func duplicate(_ descriptor: Int32, atLeast minimum: Int32) throws(Errno) -> OwnedDescriptor {
    OwnedDescriptor(try valueOrErrno { Glibc.fcntl(descriptor, F_DUPFD_CLOEXEC, minimum) })
  }

  /// `mkdtemp(3)`: a new directory, mode 0700; the six X at the end of `template` are replaced.
  static func makeTemporaryDirectory(_ template: String) throws(Errno) -> String {
    var path = Array(template.utf8CString)
    // Not -1 but a null pointer means failure.
    try nothingOrErrno { mkdtemp(&path) == nil ? -1 : 0 as Int32 }
    return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// `access(2)` with `X_OK`.
  static func checkExecutable(_ path: String) throws(Errno) {
    try nothingOrErrno { Glibc.access(path, X_OK) }
  }

  /// `pidfd_open(2)`, Linux 5.3: readable when the process has ended. Closed on exec.
  static func openProcess(_ process: pid_t) throws(Errno) -> OwnedDescriptor {
    OwnedDescriptor(try valueOrErrno { pidfd_open(process, 0) })
  }

  /// `waitid(2)` with `WNOWAIT`: how an ended child ended, leaving it to be reaped.
  static func peekExit(_ process: pid_t) throws(Errno) -> (code: Int32, status: Int32) {
    var information = siginfo_t()
    try nothingOrErrno { waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT) }
    return (information.si_code, information._sifields._sigchld.si_status)
  }

  /// `waitpid(2)`: takes an ended child out of the process table; one that still runs only when `waiting` for it.
  static func reap(_ process: pid_t, waiting: Bool = false) throws(Errno) {
    var status: Int32 = 0
    try nothingOrErrno { waitpid(process, &status, waiting ? 0 : WNOHANG) }
  }

  /// `kill(2)` of a process group. That it has gone already is not an error to anybody here.
  static func signalGroup(_ group: pid_t, _ signal: Int32) {
    kill(-group, signal)
  }
}
