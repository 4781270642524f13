import Glibc
import NBDProtocol
import Synchronization
import SystemPackage

/// A short-lived helper, run with a deadline.
enum HelperProcess {
  /// How the helper ended and the start of what it printed, standard output and error together.
  struct Result: Hashable, Sendable {
    /// nil: still running at the deadline, and killed.
    var end: ProcessEnd?
    var output: String

    var succeeded: Bool { end == .exited(0) }

    /// There was nothing to do, or it was done without a process.
    static let success = Result(end: .exited(0), output: "")
    /// It went wrong, in these words.
    static func failure(_ words: String) -> Result { Result(end: .exited(Helper.failure), output: words) }

    /// For a message: the helper's own words, or how it ended.
    var explanation: String {
      let words = output.split(whereSeparator: \.isNewline).joined(separator: "; ")
      switch end {
      case nil: return "it did not finish in time"
      case .exited(let code): return words.isEmpty ? "exit status \(code)" : words
      case .killed(let signal): return "killed by signal \(signal)"
      }
    }
  }

  /// Most of a helper's output that is kept, in bytes.
  private static let outputLimit = 4096
  /// Between two looks at the time that is left, which others may prolong.
  private static let look = Duration.milliseconds(250)

  /// How often, a millisecond apart, to look whether a child that was killed is gone. On a busy machine it needs a turn to die.
  private static let momentLooks = 500

  /// Children that were still there when they should not have been, such as one that is stuck in the kernel.
  private static let leftBehind = Mutex<[pid_t]>([])

  /// How many of them there are now.
  static var leftBehindCount: Int {
    reap()
    return leftBehind.withLock { $0.count }
  }

  /// Runs a program and waits for its end. Blocks the calling thread for at most `deadline`.
  ///
  /// - Throws: ``NBDError/system(_:doing:)`` where it cannot be started.
  static func run(_ arguments: [String], deadline: Duration) throws(NBDError) -> Result {
    try run(arguments, remaining: countdown(deadline))
  }

  /// The same, for as long as `remaining` is above zero, whose answers may grow.
  ///
  /// - Parameter executable: instead of `arguments[0]`.
  static func run(
    _ arguments: [String], executable: String? = nil, remaining: () -> Duration
  ) throws(NBDError) -> Result {
    reap()
    let pipe = try closeOnExecPipe()
    defer { try? pipe.readEnd.close() }
    let pid: pid_t
    do {
      defer { try? pipe.writeEnd.close() }
      pid = try Spawn(
        arguments: arguments, executable: executable, streams: .captured(by: pipe.writeEnd.rawValue)
      ).start()
    }

    // The child holds the only other end of the pipe: end of file is the child's end, and poll can wait for
    // it with a deadline, which waitpid cannot.
    var output: [UInt8] = []
    let hasEnded = collect(from: pipe.readEnd, into: &output, remaining)
    let text = String(decoding: output, as: UTF8.self)
    if hasEnded { return Result(end: try ProcessEnd(of: pid), output: text) }
    kill(pid, SIGKILL)
    leave(pid)
    return Result(end: nil, output: text)
  }

  /// Gives a child up that was killed. It is reaped at once where it dies in a moment; one that is stuck in the kernel does not
  /// die of the signal, and is reaped later, if ever.
  static func leave(_ pid: pid_t) {
    for _ in 0..<Self.momentLooks {
      if waitpid(pid, nil, WNOHANG) != 0 { return }
      usleep(1000)
    }
    leftBehind.withLock { $0.append(pid) }
  }

  private static func reap() {
    leftBehind.withLock { $0.removeAll { waitpid($0, nil, WNOHANG) != 0 } }
  }

  /// Reads until end of file. False when the time is up.
  private static func collect(
    from descriptor: FileDescriptor, into output: inout [UInt8], _ remaining: () -> Duration
  ) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 1024)
    while true {
      let left = remaining()
      guard left > .zero else { return false }
      var event = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
      guard poll(&event, 1, min(left, look).pollTimeout) > 0 else { continue }
      guard let count = try? buffer.withUnsafeMutableBytes({ try descriptor.read(into: $0) }), count > 0 else {
        return true
      }
      output.append(contentsOf: buffer.prefix(min(count, outputLimit - output.count)))
    }
  }
}
