import Logging
import NBDProtocol
import SystemPackage

/// What nbdmount says on standard error: whole lines, each with the program's name in front.
///
/// Safe on every thread. Text is made printable here, so that a server's words cannot drive a terminal.
enum Diagnostics {
  static func error(_ message: String) { line(message) }
  static func warning(_ message: String) { line("warning: " + message) }
  static func note(_ message: String) { line("note: " + message) }

  /// Sends the library's log to standard error too. Call once, before any logger is made.
  ///
  /// - Parameter verbose: debug messages as well; otherwise warnings and errors only.
  static func bootstrap(verbose: Bool) {
    LoggingSystem.bootstrap { _ in StandardErrorLog(logLevel: verbose ? .debug : .warning) }
  }

  /// The line that ``line(_:)`` writes.
  static func format(_ message: String) -> String { "nbdmount: \(printable(message))\n" }

  fileprivate static func line(_ message: String) {
    // One write for one line, or lines of different threads mix. Where standard error itself fails there
    // is nobody left to tell.
    _ = try? FileDescriptor.standardError.writeAll(format(message).utf8)
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
