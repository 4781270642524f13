@testable import NBDProtocol

/// Handshakes that real servers were recorded in: Fixtures/Handshake, one file each.
///
/// A file has comments (`#`), the request (goal, export name, queries), then the server's and the client's bytes
/// in turn (`S` and `C`, hexadecimal, further lines indented), and what came of it (`end`).
struct HandshakeRecording {
  var name: String
  var request: HandshakeRequest
  var lines: [Line] = []
  var end = ""

  static let all = Fixtures.texts(in: "Handshake").compactMap { HandshakeRecording(name: $0.name, $0.text) }

  /// Nil where the text is not as described above.
  init?(name: String, _ text: String) {
    var request: HandshakeRequest?
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
      guard let key = words.first, words.count == 2 else { return nil }
      switch key {
      case "request": request = Self.request(words[1].split(separator: " ").map(String.init))
      case "end": end = String(words[1])
      case "S", "C", "":
        guard let bytes = Self.bytes(words[1].drop { $0 == " " }) else { return nil }
        switch (key, lines.last) {
        case ("S", _): lines.append(.server(bytes))
        case ("C", _): lines.append(.client(bytes))
        case ("", .server(let before)): lines[lines.count - 1] = .server(before + bytes)
        case ("", .client(let before)): lines[lines.count - 1] = .client(before + bytes)
        default: return nil
        }
      default: return nil
      }
    }
    guard let request, !end.isEmpty else { return nil }
    self.request = request
    self.name = name
  }

  private static func request(_ words: [String]) -> HandshakeRequest? {
    let name = words.count > 1 ? words[1] : ""
    switch words.first {
    case "transmission": return HandshakeRequest(exportName: name)
    case "information": return HandshakeRequest(exportName: name, goal: .information)
    case "list": return HandshakeRequest(exportName: name, goal: .list)
    case "contexts":
      return HandshakeRequest(exportName: name, goal: .listContexts(queries: Array(words.dropFirst(2))))
    default: return nil
    }
  }

  private static func bytes(_ digits: Substring) -> [UInt8]? {
    let nibbles = digits.compactMap(\.hexDigitValue)
    guard nibbles.count == digits.count, nibbles.count.isMultiple(of: 2) else { return nil }
    return stride(from: 0, to: nibbles.count, by: 2).map { UInt8(nibbles[$0] << 4 | nibbles[$0 + 1]) }
  }
}
