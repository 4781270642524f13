import Foundation
import Glibc
import Synchronization

/// How a process ended.
public enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
  case exited(Int32)
  case signaled(Int32)

  public static var success: ExitStatus { .exited(0) }

  /// Reads the status word of `waitpid`.
  init(waitStatus: Int32) {
    let signal = waitStatus & 0x7f
    self = signal == 0 ? .exited((waitStatus >> 8) & 0xff) : .signaled(signal)
  }

  public var description: String {
    switch self {
    case .exited(let code): "exit status \(code)"
    case .signaled(let signal): "killed by signal \(signal)"
    }
  }
}

/// A failure of the harness or of a helper program, with all that is needed to understand it.
public struct TestFailure: Error, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }

  /// `what` failed with the present `errno`.
  static func errno(_ what: String, _ code: Int32 = Glibc.errno) -> TestFailure {
    TestFailure("\(what): \(String(cString: strerror(code)))")
  }
}

/// One child process, leader of its own process group, with its output captured in unlinked files.
///
/// A thread of its own reaps it, so that waiting never blocks Swift's cooperative pool. Another one starts it and stays
/// until then: a child that ends with its parent (`PR_SET_PDEATHSIG`, as nbdkit 1.32 always does) would end with the
/// *thread* that started it, and those of a pool go when they have been idle. Signals go to the pid only while it has not
/// been reaped: a recycled pid is never hit.
public final class ChildProcess: Sendable {
  public let command: [String]
  public let pid: pid_t
  /// Happens when the process has ended and was reaped.
  public let ended = OneShot<ExitStatus>()

  private let stdoutFile: Int32
  private let stderrFile: Int32
  private let isReaped = Mutex(false)

  /// Starts `command`; the first word is looked up in `PATH`.
  ///
  /// - Parameters:
  ///   - environment: variables set in addition to (or instead of) those of the test process.
  ///   - inheriting: descriptors the child gets under the same numbers; every other one stays behind.
  public init(_ command: [String], environment: [String: String] = [:], inheriting: [Int32] = []) throws {
    self.command = command
    let (stdout, stderr) = (try Self.unlinkedFile(), try Self.unlinkedFile())
    stdoutFile = stdout
    stderrFile = stderr
    do {
      pid = try Self.onThread(until: ended) {
        try Self.spawn(command, environment: environment, inheriting: inheriting, stdout: stdout, stderr: stderr)
      }
    } catch {
      close(stdout)
      close(stderr)
      throw error
    }
    Thread.detachNewThread { [self] in reap() }
  }

  deinit {
    close(stdoutFile)
    close(stderrFile)
  }

  public var stdout: String { Self.contents(of: stdoutFile) }
  public var stderr: String { Self.contents(of: stderrFile) }

  /// Waits for the end. Throws, with the output so far, when `deadline` passes first; the process is left running.
  public func exitStatus(within deadline: Duration) async throws -> ExitStatus {
    if let status = await ended.value(within: deadline) { return status }
    throw TestFailure("still running after \(deadline): \(command.joined(separator: " "))\n\(stderr)")
  }

  /// Sends a signal to the process alone.
  public func signal(_ signal: Int32) {
    isReaped.withLock { isReaped in
      if !isReaped { kill(pid, signal) }
    }
  }

  /// Kills the process and its group, and waits until it is gone. False when it cannot die: it hangs in the kernel.
  @discardableResult
  public func terminate(within deadline: Duration = .seconds(5)) async -> Bool {
    isReaped.withLock { isReaped in
      if !isReaped { kill(-pid, SIGKILL) }
    }
    return await ended.value(within: deadline) != nil
  }

  /// Returns once the process has `path` open.
  public func waitUntilItHolds(_ path: String, within deadline: Duration = .seconds(10)) async throws {
    try await poll("\(path) to be open", within: deadline) { holds(path) }
  }

  /// Whether the process has `path` open.
  public func holds(_ path: String) -> Bool {
    let directory = "/proc/\(pid)/fd"
    let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    return descriptors.contains {
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\($0)")) == path
    }
  }

  /// Its own child processes now.
  public func children() throws -> [pid_t] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task").flatMap { thread in
      let list = try String(contentsOfFile: "/proc/\(pid)/task/\(thread)/children", encoding: .utf8)
      return list.split(separator: " ").compactMap { pid_t($0) }
    }
  }

  private func reap() {
    // WNOWAIT leaves a zombie that holds the pid until signal() can no longer be in the middle of using it.
    var information = siginfo_t()
    while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) == -1 && errno == EINTR {}
    var status: Int32 = 0
    isReaped.withLock { isReaped in
      while waitpid(pid, &status, 0) == -1 && errno == EINTR {}
      isReaped = true
    }
    ended.fire(ExitStatus(waitStatus: status))
  }

  /// Runs `start` on a thread that stays, where that succeeds, until `ended` happens.
  private static func onThread(
    until ended: OneShot<ExitStatus>, _ start: @escaping @Sendable () throws -> pid_t
  ) throws -> pid_t {
    let started = Mutex(Result<pid_t, any Error>.failure(TestFailure("not started")))
    let isSettled = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      let result = Result(catching: start)
      started.withLock { $0 = result }
      isSettled.signal()
      guard case .success = result else { return }
      let isOver = DispatchSemaphore(value: 0)
      ended.observe { _ in isOver.signal() }
      isOver.wait()
    }
    isSettled.wait()
    return try started.withLock { $0 }.get()
  }

  private static func spawn(
    _ command: [String], environment: [String: String], inheriting: [Int32], stdout: Int32, stderr: Int32
  ) throws -> pid_t {
    guard let program = command.first else { throw TestFailure("empty command") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, stdout, STDOUT_FILENO)
    posix_spawn_file_actions_adddup2(&actions, stderr, STDERR_FILENO)
    // dup2 onto itself is how posix_spawn says "clear close-on-exec".
    for descriptor in inheriting { posix_spawn_file_actions_adddup2(&actions, descriptor, descriptor) }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    var entries: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0)=\($1)") } + [nil]
    defer { for string in arguments + entries { free(string) } }
    var pid: pid_t = 0
    let code = posix_spawnp(&pid, program, &actions, &attributes, &arguments, &entries)
    guard code == 0 else { throw TestFailure.errno("cannot start \(program)", code) }
    return pid
  }

  private static func unlinkedFile() throws -> Int32 {
    let path = "\(NSTemporaryDirectory())/nbdmount-output.\(UInt64.random(in: 0 ... .max))"
    let descriptor = open(path, O_CREAT | O_EXCL | O_RDWR | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw TestFailure.errno(path) }
    unlink(path)
    return descriptor
  }

  private static func contents(of descriptor: Int32) -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = pread(descriptor, &chunk, chunk.count, off_t(bytes.count))
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }
}

/// Starts a command, and kills it on every way out of `body`.
@discardableResult
public func withChildProcess<R>(_ command: [String], _ body: (ChildProcess) async throws -> R) async throws -> R {
  let child = try ChildProcess(command)
  do {
    let result = try await body(child)
    await child.terminate()
    return result
  } catch {
    await child.terminate()
    throw error
  }
}
