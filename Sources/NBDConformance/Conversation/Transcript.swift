import NBDProtocol

/// A part of a message: its name in the specification, its bytes, and what they mean.
package struct Field: Hashable, Sendable {
  package let name: String
  /// The bytes, the first ``shown`` of them.
  package let bytes: [UInt8]
  /// How many there are.
  package let count: Int
  /// Their meaning, or nothing.
  package let meaning: String

  /// Bytes of one field that are kept.
  static let shown = 32

  init(_ name: String, _ bytes: some Collection<UInt8>, _ meaning: String = "") {
    self.name = name
    self.bytes = Array(bytes.prefix(Self.shown))
    count = bytes.count
    self.meaning = meaning
  }

  /// A line: name, bytes in hexadecimal, meaning.
  package var line: String {
    var digits = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    if count > bytes.count { digits += "... (\(count) bytes)" }
    if count == 0 { digits = "(no bytes)" }
    return "\(name): \(digits)" + (meaning.isEmpty ? "" : "  \(meaning)")
  }
}

/// Something that was sent or came, or that happened.
package struct Message: Hashable, Sendable {
  package enum Direction: String, Sendable { case sent = ">", received = "<", event = "-" }

  package let connection: Int
  package let direction: Direction
  package let title: String
  package let fields: [Field]

  /// A line for the message, and one for each field, which begins with two spaces.
  package var lines: [String] { ["\(connection) \(direction.rawValue) \(title)"] + fields.map { "  " + $0.line } }
}

/// The conversations of one check, on one connection or several.
package final class Transcript {
  /// Messages that are kept. The first tell the most.
  static let bound = 120

  package private(set) var messages: [Message] = []
  private(set) var connections = 0
  /// Messages beyond ``bound``.
  package private(set) var omitted = 0

  func newConnection() -> Int {
    connections += 1
    return connections
  }

  /// Forgets what was said on connections that showed nothing.
  func startOver() {
    messages = []
    omitted = 0
    add(connections, .event, "nothing on \(connections) connections; now on another")
  }

  func add(_ connection: Int, _ direction: Message.Direction, _ title: String, _ fields: [Field] = []) {
    guard messages.count < Self.bound else { return omitted += 1 }
    messages.append(Message(connection: connection, direction: direction, title: title, fields: fields))
  }

  /// All of it, for reports.
  package var lines: [String] {
    messages.flatMap(\.lines) + (omitted == 0 ? [] : ["- \(omitted) more messages"])
  }
}

/// Names that a server has said, for people.
func shown(_ names: [String]) -> String { "[" + names.map { shown($0.utf8) }.joined(separator: ", ") + "]" }

/// `bytes` as text for people: printable, and marked where it is no UTF-8.
func shown(_ bytes: some Collection<UInt8>) -> String {
  let text = printable(String(decoding: bytes.prefix(80), as: UTF8.self))
  return "\"\(text)\"" + (bytes.count > 80 ? "... (\(bytes.count) bytes)" : "")
}
