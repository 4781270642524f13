import Glibc
import NBDProtocol
import SystemPackage

/// `--background`: the command returns when the mount is ready, and another process serves it.
///
/// A process with threads cannot fork safely, so nbdmount starts itself again with the same arguments, in a
/// session of its own, and waits at a pipe. What the new process and its server say goes through a second pipe, which the
/// command copies to its own standard error while it waits: were they given the caller's, a server would keep it open for as
/// long as it serves, and `x=$(nbdmount --background ...)` would wait for that.
///
/// The working directory stays what it was: a relative socket path is needed again to reconnect.
enum Background {
  /// Names the descriptors to the new process: those of the two pipes and, where it was moved, the server's. Internal.
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
  ///   - server: the inherited socket of `--fd`, no standard stream.
  ///   - started: called with the number of the new process, before the wait.
  static func launch(
    arguments: [String], executable: String = "/proc/self/exe", server: Int32? = nil,
    started: (pid_t) throws(NBDError) -> Void = { _ in }
  ) throws(NBDError) -> Outcome {
    let ready = try closeOnExecPipe()
    defer { try? ready.readEnd.close() }
    let messages = try closeOnExecPipe()
    defer { try? messages.readEnd.close() }
    let pid: pid_t
    do {
      // Closed here at once, so that the new process's end is the end of the file.
      defer {
        try? ready.writeEnd.close()
        try? messages.writeEnd.close()
      }
      let output = messages.writeEnd.rawValue
      let named = [ready.writeEnd.rawValue, messages.readEnd.rawValue, server].compactMap(\.self)
      let outputs: [(child: Int32, ours: Int32)] = [(1, output), (2, output)]
      pid = try Spawn(
        arguments: arguments, executable: executable,
        environment: ["\(variable)=" + named.map { "\($0)" }.joined(separator: ",")],
        streams: .inherited(and: outputs + named.map { ($0, $0) }), newSession: true
      ).start()
    }
    try started(pid)
    if try wait(ready.readEnd, copying: messages.readEnd) { return .ready(pid) }
    let end = try ProcessEnd(of: pid)
    // It closes the pipe to us before it says why it ends.
    copy(messages.readEnd)
    if case .killed(let signal) = end { Diagnostics.error("the background process was killed by signal \(signal)") }
    return .failed
  }

  /// Copies what the new process says until it is known whether it is ready.
  private static func wait(_ ready: FileDescriptor, copying messages: FileDescriptor) throws(NBDError) -> Bool {
    while true {
      var events = [ready, messages].map { pollfd(fd: $0.rawValue, events: Int16(POLLIN), revents: 0) }
      guard poll(&events, 2, -1) > 0 else { continue }
      copy(messages)
      guard events[0].revents != 0 else { continue }
      var mark: UInt8 = 0
      do {
        return try withUnsafeMutableBytes(of: &mark) { try ready.read(into: $0) } > 0 && mark == readyMark
      } catch {
        throw NBDError(error, doing: "waiting for the background process")
      }
    }
  }

  /// Copies what is in the pipe now: a pipe holds 16 times the buffer, and a server may go on for ever.
  private static func copy(_ messages: FileDescriptor) {
    var buffer = [UInt8](repeating: 0, count: 4096)
    for _ in 0..<16 {
      var event = pollfd(fd: messages.rawValue, events: Int16(POLLIN), revents: 0)
      guard poll(&event, 1, 0) > 0, event.revents & Int16(POLLIN) != 0,
        let count = try? buffer.withUnsafeMutableBytes({ try messages.read(into: $0) })
      else { return }
      _ = try? FileDescriptor.standardError.writeAll(buffer.prefix(count))
    }
  }
}

/// The background process's side.
struct ReadyPipe: ~Copyable {
  private let descriptor: FileDescriptor
  /// The other end of our own standard output and error, and of our server's.
  private let messages: FileDescriptor?
  /// The socket of `--fd`, where that was a standard stream.
  let server: Int32?

  /// nil in a process that ``Background/launch(arguments:executable:server:)`` did not start. Changes the environment:
  /// call it before any thread is made.
  static func takeFromEnvironment() -> ReadyPipe? {
    guard let value = getenv(Background.variable) else { return nil }
    let numbers = String(cString: value).split(separator: ",").map { Int32($0) ?? -1 }
    unsetenv(Background.variable)
    // A number that is no pipe was not put there by us.
    guard let descriptor = numbers.first, numbers.count <= 3, numbers.prefix(2).allSatisfy(isPipe) else { return nil }
    // Servers that we start must not keep the pipes open.
    for number in numbers { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
    return ReadyPipe(
      descriptor: FileDescriptor(rawValue: descriptor),
      messages: numbers.dropFirst().first.map { FileDescriptor(rawValue: $0) },
      server: numbers.dropFirst(2).first)
  }

  private static func isPipe(_ number: Int32) -> Bool {
    var status = stat()
    return number >= StandardStreams.end && fstat(number, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
  }

  private init(descriptor: FileDescriptor, messages: FileDescriptor?, server: Int32?) {
    self.descriptor = descriptor
    self.messages = messages
    self.server = server
  }

  /// Lets the waiting command return 0, and leaves its terminal: standard input and output become /dev/null.
  ///
  /// - Parameter log: where standard error goes from now on (appended to); nil is /dev/null.
  /// - Throws: ``NBDError/system(_:doing:)``: EPIPE where the waiting command was interrupted. Nobody
  ///   would know of the mount then, so it should end.
  consuming func ready(log: String? = nil) throws(NBDError) {
    // What was said until now is for that command.
    Diagnostics.flush()
    do {
      let null = try FileDescriptor.open("/dev/null", .readWrite, options: .closeOnExec)
      defer { try? null.close() }
      let errors = try log.map {
        try FileDescriptor.open(
          FilePath($0), .writeOnly, options: [.create, .append, .closeOnExec], permissions: .ownerReadWrite)
      }
      defer { try? errors?.close() }
      if let messages { try Self.drop(messages, onceClosed: descriptor.duplicate()) }
      // Before the output is given away, so that a failure of this is still seen.
      _ = try descriptor.writeAll([Background.readyMark])
      _ = try null.duplicate(as: .standardInput)
      _ = try null.duplicate(as: .standardOutput)
      _ = try (errors ?? null).duplicate(as: .standardError)
    } catch {
      throw (error as? NBDError) ?? NBDError(error, doing: "reporting readiness to the waiting command")
    }
  }

  /// From when the command has gone, reads what our server goes on to say, which would stop it otherwise, and drops it.
  private static func drop(_ messages: FileDescriptor, onceClosed ready: FileDescriptor) throws(NBDError) {
    _ = fcntl(ready.rawValue, F_SETFD, FD_CLOEXEC)
    try POSIXThread.startDetached("the reader of the server's messages") {
      var gone = pollfd(fd: ready.rawValue, events: 0, revents: 0)
      while poll(&gone, 1, -1) < 0 {}
      try? ready.close()
      var buffer = [UInt8](repeating: 0, count: 4096)
      while let count = try? buffer.withUnsafeMutableBytes({ try messages.read(into: $0) }), count > 0 {}
      try? messages.close()
    }
  }

  /// Without ``ready(log:)``, the end of the pipe says that the mount failed.
  deinit { try? descriptor.close() }
}
