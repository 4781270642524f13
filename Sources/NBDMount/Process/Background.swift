import Glibc
import NBDProtocol
import SystemPackage

/// `--background`: the command returns when the mount is ready, and another process serves it.
///
/// A process with threads cannot fork safely, so nbdmount starts itself again with the same arguments, in a
/// session of its own, and waits at a pipe. Until it is ready the new process has the caller's standard
/// error, so its messages need no carrying over.
///
/// The working directory stays what it was: a relative socket path is needed again to reconnect.
enum Background {
  /// Names the pipe's descriptor to the new process. Internal.
  static let variable = "NBDMOUNT_READY_DESCRIPTOR"
  fileprivate static let readyMark: UInt8 = 0x52

  enum Outcome: Hashable, Sendable {
    /// The mount is served by this process, a child of ours that outlives us.
    case ready(pid_t)
    /// It has said why, on standard error, and has been reaped.
    case failed

    /// For our own exit, which follows.
    var exitStatus: Int32 {
      switch self {
      case .ready: 0
      case .failed: 1
      }
    }
  }

  /// Starts ourselves again and waits until that process is ready or ends.
  ///
  /// - Parameters:
  ///   - arguments: all of them, program name first.
  ///   - executable: the running program, unless a test says otherwise.
  ///   - started: called with the number of the new process, before the wait.
  static func launch(
    arguments: [String], executable: String = "/proc/self/exe", started: (pid_t) throws(NBDError) -> Void = { _ in }
  ) throws(NBDError) -> Outcome {
    let pipe = try closeOnExecPipe()
    defer { try? pipe.readEnd.close() }
    let pid: pid_t
    do {
      // Closed here at once, so that the new process's end is the end of the file.
      defer { try? pipe.writeEnd.close() }
      pid = try Spawn(
        arguments: arguments, executable: executable,
        environment: ["\(variable)=\(pipe.writeEnd.rawValue)"],
        streams: .inherited(and: pipe.writeEnd.rawValue), newSession: true
      ).start()
    }
    try started(pid)
    var mark: UInt8 = 0
    let count: Int
    do {
      count = try withUnsafeMutableBytes(of: &mark) { try pipe.readEnd.read(into: $0) }
    } catch {
      throw NBDError(error, doing: "waiting for the background process")
    }
    if count == 1 && mark == readyMark { return .ready(pid) }
    if case .killed(let signal) = try ProcessEnd(of: pid) {
      Diagnostics.error("the background process was killed by signal \(signal)")
    }
    return .failed
  }
}

/// The background process's side.
struct ReadyPipe: ~Copyable {
  private let descriptor: FileDescriptor

  /// nil in a process that ``Background/launch(arguments:executable:)`` did not start. Changes the environment:
  /// call it before any thread is made.
  static func takeFromEnvironment() -> ReadyPipe? {
    guard let value = getenv(Background.variable) else { return nil }
    let number = Int32(String(cString: value))
    unsetenv(Background.variable)
    // A number that is no pipe was not put there by us.
    var status = stat()
    guard let number, number > 2, fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else {
      return nil
    }
    // Servers that we start must not keep the pipe open.
    _ = fcntl(number, F_SETFD, FD_CLOEXEC)
    return ReadyPipe(descriptor: FileDescriptor(rawValue: number))
  }

  private init(descriptor: FileDescriptor) { self.descriptor = descriptor }

  /// Lets the waiting command return 0, and leaves its terminal: standard input and output become /dev/null.
  ///
  /// - Parameter log: where standard error goes from now on (appended to); nil is /dev/null.
  /// - Throws: ``NBDError/system(_:doing:)``: EPIPE where the waiting command was interrupted. Nobody
  ///   would know of the mount then, so it should end.
  consuming func ready(log: String? = nil) throws(NBDError) {
    do {
      let null = try FileDescriptor.open("/dev/null", .readWrite, options: .closeOnExec)
      defer { try? null.close() }
      let errors = try log.map {
        try FileDescriptor.open(
          FilePath($0), .writeOnly, options: [.create, .append, .closeOnExec], permissions: .ownerReadWrite)
      }
      defer { try? errors?.close() }
      // Before the output is given away, so that a failure of this is still seen.
      _ = try descriptor.writeAll([Background.readyMark])
      _ = try null.duplicate(as: .standardInput)
      _ = try null.duplicate(as: .standardOutput)
      _ = try (errors ?? null).duplicate(as: .standardError)
    } catch {
      throw NBDError(error, doing: "reporting readiness to the waiting command")
    }
  }

  /// Without ``ready(log:)``, the end of the pipe says that the mount failed.
  deinit { try? descriptor.close() }
}
