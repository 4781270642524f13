import Glibc
import Logging
import NBDProtocol
import Synchronization

/// What nbdmount says on standard error: whole lines, each with the program's name in front.
///
/// Safe on every thread, and never waits for a reader once there is a thread for it (``startThread()``). Text is made
/// printable here, so that a server's words cannot drive a terminal.
enum Diagnostics {
  /// Milliseconds that a reader has for what was said last.
  private static let flushMilliseconds = 1000

  private static let writer = LineWriter()
  private static let limit = Mutex(RateLimit())

  static func error(_ message: String) { line(message) }
  static func warning(_ message: String) { limited("warning: " + message) }
  static func note(_ message: String) { limited("note: " + message) }
  /// For `--verbose`.
  static func debug(_ message: String) { Logger(label: "nbdmount").debug("\(message)") }
  /// What the user has asked to see all of.
  static func trace(_ message: String) { line(message) }

  /// Sends the library's log to standard error too. Call once, before any logger is made.
  ///
  /// - Parameter verbose: debug messages as well; otherwise warnings and errors only.
  static func bootstrap(verbose: Bool) {
    LoggingSystem.bootstrap { _ in StandardErrorLog(logLevel: verbose ? .debug : .warning) }
  }

  /// From now on lines are written by a thread of its own.
  static func startThread() { writer.start() }

  /// Waits until what was said is written, for a second at most. Before the process ends.
  static func flush() { writer.flush(milliseconds: flushMilliseconds) }

  /// Ends the process without any tidying up, but for what was said.
  static func end(_ status: Int32) -> Never {
    flush()
    _exit(status)
  }

  /// The line that is written for `message`.
  static func format(_ message: String) -> String { "nbdmount: \(printable(message))\n" }

  fileprivate static func line(_ message: String) { writer.write(format(message)) }

  private static func limited(_ message: String) {
    guard let leftOut = limit.withLock({ $0.admit(at: .now) }) else { return }
    line(leftOut == 0 ? message : "\(message) (\(leftOut) lines before this one were left out)")
  }
}

/// swift-log's messages in the form of ``Diagnostics``.
private struct StandardErrorLog: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  init(logLevel: Logger.Level) { self.logLevel = logLevel }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var text = "\(event.level): \(event.message)"
    let values = metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 })
    for (key, value) in values.sorted(by: { $0.key < $1.key }) {
      text += " \(key)=\(value)"
    }
    Diagnostics.line(text)
  }
}
