import Glibc
import NBDProtocol
import SystemPackage

/// A short-lived helper such as fusermount3, run with a deadline.
enum HelperProcess {
  /// How the helper ended and the start of what it printed, standard output and error together.
  struct Result: Hashable, Sendable {
    /// nil: still running at the deadline, and killed.
    var end: ProcessEnd?
    var output: String

    var succeeded: Bool { end == .exited(0) }

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

  /// Runs a program and waits for its end. Blocks the calling thread for at most `deadline` and one second.
  ///
  /// - Throws: ``NBDError/system(_:doing:)`` where it cannot be started.
  static func run(_ arguments: [String], deadline: Duration) throws(NBDError) -> Result {
    let pipe = try closeOnExecPipe()
    defer { try? pipe.readEnd.close() }
    let pid: pid_t
    do {
      defer { try? pipe.writeEnd.close() }
      pid = try Spawn(arguments: arguments, streams: .captured(by: pipe.writeEnd.rawValue)).start()
    }

    // The child holds the only other end of the pipe: end of file is the child's end, and poll can wait for
    // it with a deadline, which waitpid cannot.
    var output: [UInt8] = []
    if collect(from: pipe.readEnd, until: .now + deadline, into: &output) {
      return Result(end: try ProcessEnd(of: pid), output: String(decoding: output, as: UTF8.self))
    }
    kill(pid, SIGKILL)
    // A child stuck in the kernel does not die of it; it is left to be reaped by our parent's init.
    if collect(from: pipe.readEnd, until: .now + .seconds(1), into: &output) { _ = try ProcessEnd(of: pid) }
    return Result(end: nil, output: String(decoding: output, as: UTF8.self))
  }

  /// Reads until end of file. False at the deadline.
  private static func collect(
    from descriptor: FileDescriptor, until end: ContinuousClock.Instant, into output: inout [UInt8]
  ) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 1024)
    while true {
      let left = ContinuousClock.now.duration(to: end)
      guard left > .zero else { return false }
      // Rounded up, or the last part of a millisecond would be spent spinning. The cap keeps it in range.
      let (seconds, attoseconds) = left.components
      let milliseconds = min(seconds, 3600) * 1000 + attoseconds / 1_000_000_000_000_000 + 1
      var event = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
      guard poll(&event, 1, Int32(truncatingIfNeeded: milliseconds)) > 0 else { continue }
      guard let count = try? buffer.withUnsafeMutableBytes({ try descriptor.read(into: $0) }), count > 0 else {
        return true
      }
      output.append(contentsOf: buffer.prefix(min(count, outputLimit - output.count)))
    }
  }
}
