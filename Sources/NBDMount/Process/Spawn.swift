import CLinux
import Glibc
import NBDProtocol
import SystemPackage

/// `posix_spawn`: the only way a process with threads may start another. There is no fork in nbdmount.
struct Spawn {
  enum Streams {
    /// Standard input from /dev/null, output and error to this descriptor, and nothing else inherited: not
    /// /dev/fuse, without which a dead daemon would not look dead, and no server's socket.
    case captured(by: Int32)
    /// Standard input from this descriptor, output and error to /dev/null, and nothing else inherited.
    case input(from: Int32)
    /// Standard input from this descriptor, output and error ours, and nothing else inherited.
    case conversation(on: Int32)
    /// Everything inherited that is not close-on-exec, and these descriptors of ours, none of them a standard stream.
    case inherited(and: [(child: Int32, ours: Int32)])
  }

  /// `POSIX_SPAWN_SETSID` of <spawn.h>, which the Glibc module is built without.
  private static let setSession: Int32 = 0x80

  /// Program name first; looked up in PATH unless it has a slash.
  var arguments: [String]
  /// Instead of `arguments[0]`.
  var executable: String?
  /// Added to our environment.
  var environment: [String] = []
  var streams: Streams
  /// A session of its own, without a terminal; otherwise a process group of its own, so that Ctrl-C at the
  /// terminal reaches nbdmount alone.
  var newSession = false

  /// Starts the child.
  func start() throws(NBDError) -> pid_t {
    let program = executable ?? arguments.first ?? ""
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    try check(posix_spawn_file_actions_init(&actions), program)
    defer { posix_spawn_file_actions_destroy(&actions) }
    try check(posix_spawnattr_init(&attributes), program)
    defer { posix_spawnattr_destroy(&attributes) }

    switch streams {
    case .captured(let output):
      try check(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0), program)
      try check(posix_spawn_file_actions_adddup2(&actions, output, 1), program)
      try check(posix_spawn_file_actions_adddup2(&actions, output, 2), program)
      try check(posix_spawn_file_actions_addclosefrom_np(&actions, 3), program)
    case .input(let input):
      try check(posix_spawn_file_actions_adddup2(&actions, input, 0), program)
      try check(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0), program)
      try check(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0), program)
      try check(posix_spawn_file_actions_addclosefrom_np(&actions, 3), program)
    case .conversation(let socket):
      try check(posix_spawn_file_actions_adddup2(&actions, socket, 0), program)
      try check(posix_spawn_file_actions_addclosefrom_np(&actions, 3), program)
    case .inherited(let descriptors):
      // dup2 onto itself clears close-on-exec in the child alone.
      for (child, ours) in descriptors { try check(posix_spawn_file_actions_adddup2(&actions, ours, child), program) }
    }

    // Our threads block the termination signals, and two more are ignored; a child must inherit neither.
    var none = sigset_t()
    var ignored = sigset_t()
    sigemptyset(&none)
    sigemptyset(&ignored)
    for signal in [SIGPIPE, SIGXFSZ] { sigaddset(&ignored, signal) }
    try check(posix_spawnattr_setsigmask(&attributes, &none), program)
    try check(posix_spawnattr_setsigdefault(&attributes, &ignored), program)
    let group = newSession ? Self.setSession : Int32(POSIX_SPAWN_SETPGROUP)
    let flags = Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF) | group
    try check(posix_spawnattr_setflags(&attributes, Int16(truncatingIfNeeded: flags)), program)

    var pid: pid_t = 0
    let result = withCStrings(arguments) { argv in
      withCStrings(currentEnvironment() + environment) { envp in
        posix_spawnp(&pid, program, &actions, &attributes, argv, envp)
      }
    }
    try check(result, program)
    return pid
  }

  private func check(_ result: Int32, _ program: String) throws(NBDError) {
    if result != 0 { throw .system(Errno(rawValue: result), doing: "starting \(program)") }
  }
}

/// How a process ended.
enum ProcessEnd: Hashable, Sendable {
  case exited(Int32)
  case killed(signal: Int32)

  /// From the status that `waitpid` gives: Glibc's macros for it are not imported.
  init(waitStatus status: Int32) {
    let signal = status & 0x7f
    self = signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal: signal)
  }

  /// Waits for `pid`, a child of ours, and reaps it.
  init(of pid: pid_t) throws(NBDError) {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {
      guard errno == EINTR else { throw .system(Errno(rawValue: errno), doing: "waiting for process \(pid)") }
    }
    self.init(waitStatus: status)
  }
}

/// A pipe, both ends close-on-exec.
func closeOnExecPipe() throws(NBDError) -> (readEnd: FileDescriptor, writeEnd: FileDescriptor) {
  var ends: [Int32] = [-1, -1]
  guard pipe2(&ends, O_CLOEXEC) == 0 else { throw .system(Errno(rawValue: errno), doing: "making a pipe") }
  return (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
}

private func currentEnvironment() -> [String] {
  var result: [String] = []
  var next = environ
  while let entry = next.pointee {
    result.append(String(cString: entry))
    next += 1
  }
  return result
}

private func withCStrings<Result>(
  _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
  let pointers = strings.map { strdup($0) }
  defer { for pointer in pointers { free(pointer) } }
  return body(pointers + [nil])
}
