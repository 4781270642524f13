import Foundation
import Testing

@testable import NBDProtocol

/// Handshakes that real servers were recorded in: Fixtures/Handshake, one file each.
///
/// A file has comments (`#`), the request (goal, export name, queries), then the server's and the client's bytes
/// in turn (`S` and `C`, hexadecimal, further lines indented), and what came of it (`end`).
struct HandshakeRecording: CustomTestStringConvertible {
  var testDescription: String
  var request: HandshakeRequest
  var lines: [Line] = []
  var end = ""

  static let all: [HandshakeRecording] = {
    let folder = URL(filePath: #filePath).appending(path: "../../../Fixtures/Handshake").standardized
    let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
    return files.sorted { $0.path < $1.path }.compactMap { file in
      guard let text = try? String(contentsOf: file, encoding: .utf8) else { return nil }
      return HandshakeRecording(name: file.deletingPathExtension().lastPathComponent, text)
    }
  }()

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
    testDescription = name
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

@Suite struct HandshakeRecordingTests {
  @Test func theRecordingsAreThere() { #expect(HandshakeRecording.all.count == 15) }

  @Test(arguments: HandshakeRecording.all) func aRecordedServerIsUnderstood(recording: HandshakeRecording) throws {
    let transcript = try converse(recording.request, recording.lines)
    #expect(Self.summary(transcript.ending) == recording.end)
  }

  // RB-011, RB-028 and whatever else one wrong byte can amount to.
  @Test(arguments: HandshakeRecording.all) func oneWrongByteMeansTheSameHoweverItComes(
    recording: HandshakeRecording
  ) throws {
    let said = recording.lines.flatMap(\.serverBytes)
    let rightly = try replay(recording.request, said)
    for offset in said.indices {
      for value in [0, 0x80, 0xff] as [UInt8] where value != said[offset] {
        var wrong = said
        wrong[offset] = value
        let transcript = try replay(recording.request, [wrong[...]], thenEnd: true)
        let halves = try replay(recording.request, [wrong[..<offset], wrong[offset...]], thenEnd: true)
        #expect(halves == transcript, "\(value) at \(offset)")
        // The client says no more than it would have, but for a fallback to another option or a goodbye.
        #expect(transcript.sent.count <= rightly.sent.count + 64, "\(value) at \(offset)")
      }
    }
  }

  private static func summary(_ ending: Ending) -> String {
    switch ending {
    case .finished(.transmission(let export)): "transmission \(summary(export))"
    case .finished(.information(let export)): "information \(summary(export))"
    case .finished(.exports(let exports)):
      "exports " + exports.map { "\"\($0.name)\" \($0.description ?? "-")" }.joined(separator: ", ")
    case .finished(.contexts(let contexts)): "contexts " + contexts.map(\.name).joined(separator: ", ")
    case .failed(let error): "error \(error)"
    case .waiting(let awaited): "waiting for \(awaited)"
    }
  }

  private static func summary(_ export: Export) -> String {
    let sizes = export.blockSizes
    let contexts = export.contexts.map { "\($0.id)=\($0.name)" }
    return [
      export.handshake.rawValue, "\(export.replies)", "size \(export.size)", "flags \(hex(export.flags.rawValue))",
      "blocks \(sizes.minimum)/\(sizes.preferred)/\(sizes.maximumPayload)\(sizes.isAdvertised ? "" : " assumed")",
      "contexts \(contexts)", "name \(export.canonicalName ?? "-")", "description \(export.description ?? "-")",
    ].joined(separator: ", ")
  }
}
