@testable import NBDProtocol

/// A whole session with a server, as a text that a person can check:
///
///     # what it is
///     @ disk               the export's name
///     > read 0 16          an operation that is submitted
///     C: 25 60 95 13 ...   |%`..|      the client's bytes
///     S: 67 44 66 98 ...   |gDf.|      the server's bytes
///     S* 31                            the line before, 31 times more
///     < read 0 16: success 00 01 ...   how it ended
struct SessionRecording {
  enum Event: Equatable {
    case submit(String)
    case client([UInt8])
    case server([UInt8])
    case outcome(String)
  }

  static let all = Fixtures.texts(in: "Sessions").compactMap { SessionRecording(name: $0.name, text: $0.text) }

  var name: String
  var comments: [String] = []
  var exportName = ""
  var events: [Event] = []

  var serverBytes: [UInt8] {
    events.flatMap { event in if case .server(let bytes) = event { bytes } else { [] as [UInt8] } }
  }

  init(name: String, comments: [String]) {
    self.name = name
    self.comments = comments
  }

  /// Nil where the text is not as described above.
  init?(name: String, text: String) {
    self.init(name: name, comments: [])
    var row: [UInt8] = []
    for line in text.split(separator: "\n") {
      let rest = String(line.dropFirst(2))
      switch line.prefix(2) {
      case "# ": comments.append(rest)
      case "@ ": exportName = rest
      case "> ": events.append(.submit(rest))
      case "< ": events.append(.outcome(rest))
      case "C*", "S*":
        guard let count = Int(rest.trimmingPrefix(" ")) else { return nil }
        for _ in 0..<count { append(row, isClient: line.hasPrefix("C")) }
      case "C:", "S:":
        guard let words = rest.split(separator: "|").first?.split(separator: " ") else { return nil }
        let bytes = words.compactMap { UInt8($0, radix: 16) }
        guard bytes.count == words.count else { return nil }
        row = bytes
        append(bytes, isClient: line.hasPrefix("C"))
      default: return nil
      }
    }
    guard !events.isEmpty else { return nil }
  }

  /// Adds bytes to the last event, where that is of the same side.
  mutating func append(_ bytes: [UInt8], isClient: Bool) {
    guard !bytes.isEmpty else { return }
    switch (events.last, isClient) {
    case (.client(let before), true): events[events.count - 1] = .client(before + bytes)
    case (.server(let before), false): events[events.count - 1] = .server(before + bytes)
    default: events.append(isClient ? .client(bytes) : .server(bytes))
    }
  }

  var text: String {
    var lines = comments.map { "# \($0)" }
    if !exportName.isEmpty { lines.append("@ \(exportName)") }
    for event in events {
      switch event {
      case .submit(let text): lines.append("> \(text)")
      case .outcome(let text): lines.append("< \(text)")
      case .client(let bytes): lines += Self.dump("C:", bytes)
      case .server(let bytes): lines += Self.dump("S:", bytes)
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }

  private static func dump(_ side: String, _ bytes: [UInt8]) -> [String] {
    var lines: [String] = []
    var previous: ArraySlice<UInt8> = []
    var repeats = 0
    func endRun() {
      if repeats > 0 { lines.append("\(side.dropLast())* \(repeats)") }
      repeats = 0
    }
    for start in stride(from: 0, to: bytes.count, by: 16) {
      let row = bytes[start..<min(start + 16, bytes.count)]
      if row == previous {
        repeats += 1
        continue
      }
      endRun()
      previous = row
      let digits = hexadecimal(row)
      let characters = row.map { (0x20...0x7e).contains($0) && $0 != 0x7c ? Character(UnicodeScalar($0)) : "." }
      lines.append("\(side) \(digits)\(String(repeating: " ", count: 48 - digits.count))|\(String(characters))|")
    }
    endRun()
    return lines
  }
}
