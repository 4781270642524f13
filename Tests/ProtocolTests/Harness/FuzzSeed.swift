import Foundation

@testable import NBDProtocol

/// An input to begin with.
struct FuzzSeed: Sendable {
  var name: String
  var bytes: [UInt8]

  /// Fixtures/corpus, a folder for each target and a file for each input: comments (`#`), then bytes in hexadecimal, and behind
  /// a `|` what they are.
  static func corpus(of target: FuzzTarget) -> [FuzzSeed] {
    Fixtures.texts(in: "corpus/\(target.rawValue)").map { FuzzSeed(name: $0.name, text: $0.text) }
  }

  init(name: String, bytes: [UInt8]) {
    self.name = name
    self.bytes = bytes
  }

  init(name: String, text: String) {
    self.init(name: name, bytes: [])
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let digits = line.prefix { $0 != "|" }.filter { $0 != " " }
      let nibbles = digits.compactMap(\.hexDigitValue)
      guard nibbles.count == digits.count, nibbles.count.isMultiple(of: 2) else {
        fault("\(name) has a line that is not hexadecimal: \(line)")
        continue
      }
      bytes += stride(from: 0, to: nibbles.count, by: 2).map { UInt8(nibbles[$0] << 4 | nibbles[$0 + 1]) }
    }
  }

  /// Fixtures/uris.tsv: the second column.
  static var uris: [FuzzSeed] {
    let text = (try? String(contentsOf: Fixtures.folder.appending(path: "uris.tsv"), encoding: .utf8)) ?? ""
    return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.enumerated().compactMap { number, line in
      let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
      return columns.count == 3 ? FuzzSeed(name: "row-\(number)", bytes: Array(columns[1].utf8)) : nil
    }
  }

  /// Fixtures/Handshake, as ``fuzzHandshake(_:)`` reads it: what the server says does not depend on the name.
  static var handshakes: [FuzzSeed] {
    HandshakeRecording.all.map { recording in
      let goal: UInt8 =
        switch recording.request.goal {
        case .transmission: 0
        case .information: 1
        case .list: 2
        case .listContexts: 3
        }
      return FuzzSeed(name: recording.name, bytes: [goal, 0] + recording.lines.flatMap(\.serverBytes))
    }
  }

  /// Fixtures/Sessions, as ``fuzzSession(_:)`` reads it.
  static var sessions: [FuzzSeed] {
    SessionRecording.all.map { FuzzSeed(name: $0.name, bytes: SessionScript($0).bytes) }
  }
}
