@preconcurrency import Glibc
import Synchronization
import SystemPackage

/// A server process that this one has started, in a process group of its own.
///
/// Its own group, because Ctrl-C at the terminal must not reach it: the last FLUSH still needs it. Ended by ``end``;
/// one that is only dropped is killed.
struct ChildProcess: ~Copyable, Sendable {
  let identifier: pid_t
  /// Readable when the process has ended (`pidfd_open(2)`), so that waiting for it needs no SIGCHLD handler.
  private let handle: OwnedDescriptor
  /// What the thread that is its parent waits for.
  private let isOver: Semaphore

  /// Starts `arguments[0]`, looked up in `PATH` where it has no slash, with default signal dispositions, nothing
  /// blocked, and this process's environment. `descriptors` are what it gets besides what this process itself
  /// inherited: all descriptors of this library are closed on exec. (Not `closefrom`: users hand descriptors
  /// to servers on purpose, as in nbdkit's `password=-FD`.)
  ///
  /// A thread of its own starts it, and stays as long as the process: the kernel takes the *thread* that started a
  /// process for its parent. A server that asked for a signal at its parent's end (`PR_SET_PDEATHSIG`; nbdkit 1.32
  /// does even without `--exit-with-parent`) would get it as soon as the caller's thread ends, which in a
  /// thread pool is any time.
  static func start(
    _ arguments: [String], descriptors: [(child: Int32, parent: Int32)]
  ) throws(NBDError) -> ChildProcess {
    let program = try program(of: arguments)
    let outcome = Mutex(Result<pid_t, Errno>.failure(.noChildProcess))  // until the thread has settled it
    let isStarted = Semaphore()
    let isOver = Semaphore()
    try POSIXThread.startDetached("the parent of \(printable(program))") {
      let result = Result { () throws(Errno) in try spawn(arguments, program: program, descriptors: descriptors) }
      outcome.withLock { $0 = result }
      isStarted.signal()
      if case .success = result { isOver.wait() }
    }
    isStarted.wait()
    return try doing("starting \(printable(program))") { () throws(Errno) in
      try ChildProcess(outcome.withLock { $0 }.get(), isOver: isOver)
    }
  }

  /// The program of a command that C can represent.
  static func program(of arguments: [String]) throws(NBDError) -> String {
    guard let program = arguments.first, !program.isEmpty else { throw .invalidArgument("there is no command to run") }
    guard arguments.allSatisfy({ !$0.utf8.contains(0) }) else {
      throw .invalidArgument("an argument of \(printable(program)) contains a NUL byte")
    }
    return program
  }

  private init(_ identifier: pid_t, isOver: Semaphore) throws(Errno) {
    do throws(Errno) {
      handle = try Syscall.openProcess(identifier)
    } catch {
      Syscall.signalGroup(identifier, SIGKILL)
      try? Syscall.reap(identifier, waiting: true)
      isOver.signal()
      throw error
    }
    self.identifier = identifier
    self.isOver = isOver
  }

  deinit {
    Syscall.signalGroup(identifier, SIGKILL)
    _ = reaped(until: .after(milliseconds: Self.killMilliseconds))
    isOver.signal()
  }

  private static func spawn(
    _ arguments: [String], program: String, descriptors: [(child: Int32, parent: Int32)]
  ) throws(Errno) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    // Spare numbers above those wanted in the child: else one dup2 could overwrite the source of the next, and
    // a descriptor that already has the right number would keep its close-on-exec flag.
    var spares: [Int32] = []
    defer { for spare in spares { close(spare) } }
    for (child, parent) in descriptors {
      let spare = try Syscall.duplicate(parent, atLeast: Self.firstSpareDescriptor).release()
      spares.append(spare)
      posix_spawn_file_actions_adddup2(&actions, spare, child)
    }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    var process: pid_t = 0
    // posix_spawn and not fork: between fork and exec a multithreaded process may call next to nothing, and
    // Swift cannot promise that. It returns the error instead of setting errno.
    let error = withCStrings(arguments) { posix_spawnp(&process, program, &actions, &attributes, $0, environ) }
    guard error == 0 else { throw Errno(rawValue: error) }
    return process
  }

  /// No child is given a descriptor with this number or a higher one.
  private static let firstSpareDescriptor: Int32 = 10
  /// After SIGKILL a process goes at once, unless the kernel itself is stuck in it.
  private static let killMilliseconds = 1000

  /// How it ended, for messages ("exited with status 1"); `nil` if it still runs at `deadline`.
  borrowing func ending(by deadline: Deadline) -> String? {
    guard isGone(by: deadline) else { return nil }
    // Only peeked at: reaping would free the number, while the process group may still need a signal by it.
    guard let (code, status) = try? Syscall.peekExit(identifier) else { return "ended" }
    return code == CLD_EXITED ? "exited with status \(status)" : "was ended by signal \(status)"
  }

  /// Ends it and whatever else is in its process group. Waits `leaveMilliseconds` for it to go by itself, then
  /// sends SIGTERM, after `termMilliseconds` more SIGKILL. Returns when it is gone and reaped.
  consuming func end(leaveMilliseconds: Int, termMilliseconds: Int) {
    _ = isGone(by: .after(milliseconds: leaveMilliseconds))
    // Sent even when it is gone: it is not reaped yet, so the group still has this number, and may have members.
    Syscall.signalGroup(identifier, SIGTERM)
    Syscall.signalGroup(identifier, SIGCONT)  // a stopped process would not see the first
    _ = isGone(by: .after(milliseconds: termMilliseconds))
    // The rest, SIGKILL and reaping, is what deinit does. A process that is gone does not mind.
  }

  private borrowing func isGone(by deadline: Deadline) -> Bool {
    (try? Syscall.poll(handle.rawValue, for: Int32(POLLIN), until: deadline)) ?? false
  }

  private borrowing func reaped(until deadline: Deadline) -> Bool {
    guard isGone(by: deadline) else { return false }
    // ECHILD where the embedding program ignores SIGCHLD: the kernel has reaped it.
    try? Syscall.reap(identifier)
    return true
  }
}

/// Calls `body` with a null-terminated C array of C strings.
private func withCStrings<Result>(
  _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
  pointers.append(nil)
  defer { for pointer in pointers { free(pointer) } }
  return body(pointers)
}
