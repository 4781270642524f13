import NBDProtocol
import Synchronization
import SystemPackage

/// Writes lines to standard error, on a thread of its own once there is one: whoever says something must not wait for whoever
/// reads it. A terminal that was stopped, or a pipe that nobody empties, would stop the mount.
final class LineWriter: Sendable {
  /// Lines that may wait. More are left out, and counted.
  private static let capacity = 256

  private struct State {
    var lines: [String] = []
    var leftOut = 0
    var hasThread = false
    /// The thread has lines that it has not written yet.
    var isWriting = false
    /// Those who wait until all is written.
    var waiting: [Semaphore] = []
  }
  private let state = Mutex(State())
  private let hasLines = Semaphore()

  /// Starts the thread. Where there is none to be had, lines are written as they come.
  func start() {
    state.withLock { $0.hasThread = true }
    do throws(NBDError) {
      try POSIXThread.startDetached("the diagnostics") { [self] in serve() }
    } catch {
      state.withLock { $0.hasThread = false }
    }
  }

  /// From any thread; once there is a thread it never blocks.
  func write(_ line: String) {
    let isLeft = state.withLock { state in
      guard state.hasThread else { return false }
      if state.lines.count < Self.capacity { state.lines.append(line) } else { state.leftOut += 1 }
      return true
    }
    if isLeft { hasLines.signal() } else { Self.put(line) }
  }

  /// Waits until all that was said is written, but not for ever.
  func flush(milliseconds: Int) {
    let isDone = Semaphore()
    let waits = state.withLock { state in
      guard state.isWriting || !state.lines.isEmpty else { return false }
      state.waiting.append(isDone)
      return true
    }
    if waits { _ = isDone.wait(milliseconds: milliseconds) }
  }

  private func serve() {
    while true {
      hasLines.wait()
      while let lines = next() { lines.forEach(Self.put) }
    }
  }

  /// The lines that wait. nil where there are none, and then nobody waits for them any longer.
  private func next() -> [String]? {
    state.withLock { state in
      var lines: [String] = []
      swap(&lines, &state.lines)
      if state.leftOut > 0 { lines.append(Diagnostics.format("warning: \(state.leftOut) lines were left out")) }
      state.leftOut = 0
      state.isWriting = !lines.isEmpty
      guard lines.isEmpty else { return lines }
      for waiting in state.waiting { waiting.signal() }
      state.waiting = []
      return nil
    }
  }

  private static func put(_ line: String) {
    // One write for one line, or lines of different threads mix. Where standard error itself fails there
    // is nobody left to tell.
    _ = try? FileDescriptor.standardError.writeAll(line.utf8)
  }
}

/// Lets so many lines through in a while, and counts the rest: users of a mount may cause warnings as fast as they like.
struct RateLimit {
  static let most = 20
  static let period = Duration.seconds(10)

  private var start: ContinuousClock.Instant?
  private var passed = 0
  private var leftOut = 0

  /// How many lines were left out before this one; nil where this one is to be, too.
  mutating func admit(at now: ContinuousClock.Instant) -> Int? {
    if start.map({ now - $0 >= Self.period }) ?? true {
      start = now
      passed = 0
    }
    guard passed < Self.most else {
      leftOut += 1
      return nil
    }
    passed += 1
    defer { leftOut = 0 }
    return leftOut
  }
}
