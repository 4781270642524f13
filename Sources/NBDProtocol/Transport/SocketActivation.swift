import Glibc
import SystemPackage

/// A server started the way systemd does it (`sd_listen_fds(3)`): it inherits, as descriptor 3, a listening socket.
///
/// The socket is a Unix one in a new directory that only this user can enter. It listens before the server
/// starts, so a connection may be made at once and waits until the server accepts it.
///
/// **What is guaranteed about the server's end**: ``end`` ends it. If this process is killed without a chance to call
/// that (SIGKILL), the server sees all its connections close, gets SIGTERM, and the directory is removed:
/// see ``script``. A server that ignores SIGTERM then stays.
struct SocketActivation: ~Copyable, Sendable {
  let address: SocketAddress
  let child: ChildProcess
  let directory: PrivateDirectory
  /// The other end of a socket that the watching shell reads: it closes when this process ends, however it ends.
  let lifeline: OwnedDescriptor

  static func start(_ arguments: [String]) throws(NBDError) -> SocketActivation {
    let program = try checkedProgram(arguments)
    let directory = try PrivateDirectory()
    let address = try SocketAddress(unixPath: Array(directory.socketPath.utf8))
    let listener = try doing("listening on \(printable(directory.socketPath))") { () throws(Errno) in
      let listener = try Syscall.socket(family: AF_UNIX, blocking: true)
      try Syscall.bind(listener.rawValue, to: address)
      try Syscall.listen(listener.rawValue)
      return listener
    }
    let lifeline = try doing("starting \(printable(program))") { () throws(Errno) in try Syscall.socketpair() }
    // Shells know descriptors of one digit only. One that the user hands through must not be overwritten.
    let watched = (4...9).first { !Syscall.isInheritable($0) } ?? 9
    let child = try ChildProcess.start(
      ["/bin/sh", "-c", script, "nbdmount", directory.path, "\(watched)"] + arguments,
      descriptors: [(child: 3, parent: listener.rawValue), (child: watched, parent: lifeline.far.rawValue)])
    return SocketActivation(address: address, child: child, directory: directory, lifeline: lifeline.near)
  }

  /// What `/bin/sh` runs before it becomes the server.
  ///
  /// `LISTEN_PID` must be the server's own process identifier, which nobody knows before the process exists.
  /// `posix_spawn` runs no code of ours between fork and exec, and `fork` itself is not safe in a
  /// multithreaded Swift process. A shell can, and `exec` keeps the identifier. The text is constant: directory
  /// and command are its arguments, and no shell ever parses them.
  ///
  /// The inner subshell watches the lifeline. When that ends while the server still runs, this process must
  /// have died: the directory goes, then the process group. That subshell is started twice removed, so that the
  /// server does not find a child that it never had, and without the listening socket, which only the server may hold:
  /// when that ends, connecting must fail.
  static let script = """
    dir=$1 fd=$2; shift 2
    ( exec 3<&-; ( read -r _; rm -f "$dir/socket"; rmdir "$dir"; kill -s TERM -- "-$$" ) <&"$fd" >/dev/null 2>&1 & )
    eval "exec $fd<&-"
    LISTEN_PID=$$ LISTEN_FDS=1
    export LISTEN_PID LISTEN_FDS
    unset LISTEN_FDNAMES
    exec "$@"
    """

  /// Looks the program up before the shell does, so that a misspelt one is an error here and not a connection that ends.
  private static func checkedProgram(_ arguments: [String]) throws(NBDError) -> String {
    let program = try ChildProcess.program(of: arguments)
    // The shell's exec would take it for an option.
    guard !program.hasPrefix("-") else { throw .invalidArgument("\(printable(program)) is not the name of a command") }
    if program.utf8.contains(UInt8(ascii: "/")) {
      try doing("starting \(printable(program))") { () throws(Errno) in try Syscall.checkExecutable(program) }
      return program
    }
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    let isFound = path.split(separator: ":", omittingEmptySubsequences: false).contains {
      (try? Syscall.checkExecutable("\($0.isEmpty ? "." : $0)/\(program)")) != nil
    }
    guard isFound else { throw .system(.noSuchFileOrDirectory, doing: "starting \(printable(program))") }
    return program
  }

  /// Ends the server and removes the directory.
  consuming func end(termMilliseconds: Int) {
    // Not waited for: such a server has no reason to go when its clients do. The lifeline closes after this,
    // when SIGTERM has ended the watching shell and it can no longer signal anybody.
    child.end(leaveMilliseconds: 0, termMilliseconds: termMilliseconds)
  }
}

/// A directory that only this user can enter, for one socket. Both are removed with this value.
struct PrivateDirectory: ~Copyable, Sendable {
  let path: String
  var socketPath: String { path + "/socket" }

  /// In `TMPDIR` where that leaves room for the socket's path, else in /tmp.
  init() throws(NBDError) {
    let wanted = getenv("TMPDIR").map { String(cString: $0) } ?? ""
    let name = "/nbdmount-XXXXXX"
    let fits = wanted.hasPrefix("/") && wanted.utf8.count + name.utf8.count + 8 < SocketAddress.unixPathSize
    let template = (fits ? wanted : "/tmp") + name
    path = try doing("creating the directory \(printable(template))") { () throws(Errno) in
      try Syscall.makeTemporaryDirectory(template)
    }
  }

  deinit {
    unlink(socketPath)
    rmdir(path)
  }
}
