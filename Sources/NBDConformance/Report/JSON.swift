import NBDProtocol

/// JSON, as much of it as reports are made of: written, and read again to compare.
enum JSON: Hashable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  /// In the order in which they are written.
  case object([Member])

  struct Member: Hashable {
    let name: String
    let value: JSON
  }

  subscript(name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }
  var text: String? { if case .string(let text) = self { text } else { nil } }
  var number: Double? { if case .number(let number) = self { number } else { nil } }
  var elements: [JSON]? { if case .array(let elements) = self { elements } else { nil } }

  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case _ where scalar.properties.generalCategory == .control:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

extension Report {
  /// An object with `server`, `export`, `seconds` and `checks`, one check in a line or so.
  package var json: String {
    let checks = results.map { result in
      let fields = [
        ("id", result.id), ("level", result.level), ("phase", result.phase), ("section", result.section),
        ("verdict", result.verdict.rawValue), ("expected", result.expected), ("found", result.found),
      ].map { "\(JSON.quoted($0)): \(JSON.quoted($1))" }
      let conversation = result.conversation.map { "\n      \(JSON.quoted($0))" }.joined(separator: ",")
      let seconds = "\"seconds\": \(Self.twoDecimals(result.seconds))"
      return "    {\(fields.joined(separator: ", ")), \(seconds),\n     \"conversation\": [\(conversation)]}"
    }
    return """
      {
        "server": \(JSON.quoted(server)),
        "export": \(JSON.quoted(export)),
        "seconds": \(Self.twoDecimals(seconds)),
        "checks": [
      \(checks.joined(separator: ",\n"))
        ]
      }

      """
  }

  /// A report that was written as JSON; nil where `bytes` are none.
  package init?(json bytes: [UInt8]) {
    guard let value = JSONParser.parse(bytes), let server = value["server"]?.text, let checks = value["checks"]?.elements else {
      return nil
    }
    self.init(server: server, export: value["export"]?.text ?? "", seconds: value["seconds"]?.number ?? 0, results: [])
    for check in checks {
      guard let id = check["id"]?.text, Self.isID(id),
        let verdict = check["verdict"]?.text.flatMap(Result.Verdict.init(rawValue:))
      else { return nil }
      results.append(
        Result(
          id: id, verdict: verdict, expected: check["expected"]?.text ?? "", found: check["found"]?.text ?? "",
          seconds: check["seconds"]?.number ?? 0, conversation: check["conversation"]?.elements?.compactMap(\.text) ?? []))
    }
  }

  /// Such as `OPT-014`. It goes into pages and terminals as it is.
  private static func isID(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { !$0.isEmpty && $0.count <= 16 }
      && parts[0].allSatisfy { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
      && parts[1].allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }
}

/// Reads JSON (RFC 8259). Depth is bounded; nothing in a file traps.
struct JSONParser {
  private let bytes: [UInt8]
  private var position = 0
  private static let deepest = 32

  static func parse(_ bytes: [UInt8]) -> JSON? {
    var parser = JSONParser(bytes: bytes)
    guard let value = parser.value(depth: 0) else { return nil }
    parser.skipSpace()
    return parser.position == bytes.count ? value : nil
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) -> JSON? {
    skipSpace()
    guard let first = next, depth < Self.deepest else { return nil }
    switch first {
    case UInt8(ascii: "{"): return object(depth)
    case UInt8(ascii: "["): return array(depth)
    case UInt8(ascii: "\""): return string().map(JSON.string)
    case UInt8(ascii: "t"): return word("true", .bool(true))
    case UInt8(ascii: "f"): return word("false", .bool(false))
    case UInt8(ascii: "n"): return word("null", .null)
    default: return number()
    }
  }

  private mutating func word(_ word: String, _ value: JSON) -> JSON? {
    guard bytes[position...].starts(with: word.utf8) else { return nil }
    position += word.utf8.count
    return value
  }

  private mutating func number() -> JSON? {
    let start = position
    while let byte = next, "+-.0123456789eE".utf8.contains(byte) { position += 1 }
    return Double(String(decoding: bytes[start..<position], as: UTF8.self)).map(JSON.number)
  }

  private mutating func object(_ depth: Int) -> JSON? {
    position += 1
    var members: [JSON.Member] = []
    if take("}") { return .object([]) }
    repeat {
      skipSpace()
      guard next == UInt8(ascii: "\""), let name = string(), take(":"), let value = value(depth: depth + 1) else { return nil }
      members.append(JSON.Member(name: name, value: value))
    } while take(",")
    return take("}") ? .object(members) : nil
  }

  private mutating func array(_ depth: Int) -> JSON? {
    position += 1
    var elements: [JSON] = []
    if take("]") { return .array([]) }
    repeat {
      guard let value = value(depth: depth + 1) else { return nil }
      elements.append(value)
    } while take(",")
    return take("]") ? .array(elements) : nil
  }

  private mutating func string() -> String? {
    position += 1
    var result: [UInt8] = []
    while let byte = next {
      position += 1
      if byte == UInt8(ascii: "\"") { return String(validating: result, as: UTF8.self) }
      guard byte == UInt8(ascii: "\\") else {
        result.append(byte)
        continue
      }
      guard let escaped = escape() else { return nil }
      result += escaped
    }
    return nil
  }

  private mutating func escape() -> [UInt8]? {
    guard let kind = next else { return nil }
    position += 1
    switch kind {
    case UInt8(ascii: "n"): return [10]
    case UInt8(ascii: "t"): return [9]
    case UInt8(ascii: "r"): return [13]
    case UInt8(ascii: "b"): return [8]
    case UInt8(ascii: "f"): return [12]
    case UInt8(ascii: "u"):
      guard position + 4 <= bytes.count,
        let code = UInt32(String(decoding: bytes[position..<(position + 4)], as: UTF8.self), radix: 16),
        let scalar = Unicode.Scalar(code)
      else { return nil }
      position += 4
      return Array(String(Character(scalar)).utf8)
    default: return [kind]
    }
  }
}
