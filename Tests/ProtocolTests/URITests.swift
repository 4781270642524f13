import SystemPackage
import Testing

@testable import NBDProtocol

@Suite struct URITests {
  struct Row: Sendable, CustomTestStringConvertible {
    let clause: String
    let uri: String
    let expectation: String
    var testDescription: String { "\(clause) \(uri)" }
  }

  /// Fixtures/uris.tsv, whose head describes it.
  static let corpus: [Row] = {
    guard let text = try? readText(fixture("uris.tsv")) else { return [] }
    return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap {
      let columns = $0.split(separator: "\t", omittingEmptySubsequences: false).map(expandingRepetition)
      return columns.count == 3 ? Row(clause: columns[0], uri: columns[1], expectation: columns[2]) : nil
    }
  }()

  @Test func theCorpusIsThere() {
    #expect(Self.corpus.count > 100)
    // One row at least for every clause that parsing alone can show.
    let clauses = Set(Self.corpus.map(\.clause))
    for number in [1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24] {
      #expect(clauses.contains("URI-0\(number < 10 ? "0" : "")\(number)"))
    }
  }

  @Test(arguments: corpus) func isReadAsExpected(_ row: Row) throws {
    let errorPrefix = "error "
    if row.expectation.hasPrefix(errorPrefix) {
      let error = #expect(throws: NBDError.self) { try NBDURI(row.uri) }
      let message = try #require(error).description
      #expect(message.contains(row.expectation.dropFirst(errorPrefix.count)), "\(message)")
      #expect(!message.contains("secret") && !message.contains("\u{1b}"))
    } else {
      let uri = try NBDURI(row.uri)
      #expect(rendered(uri) == row.expectation)
      let again = try NBDURI(uri.description)
      #expect(again == uri && again.description == uri.description)
    }
  }

  @Test func canonicalFormIsWhatOtherClientsReadAndWrite() throws {
    let canonical = [
      ("NBD://h", "nbd://h:10809/"),
      ("nbd+unix://?socket=/tmp/s", "nbd+unix:///?socket=/tmp/s"),
      ("nbd://[fe80::1%25eth0]", "nbd://[fe80::1%25eth0]:10809/"),
      ("nbd+vsock:///a%20b", "nbd+vsock://2:10809/a%20b"),
      // "+" and ";" mean other things to other readers of parameters, but not in a path.
      ("nbd+unix:///a+b;c?socket=a+b;c%26d", "nbd+unix:///a+b;c?socket=a%2Bb%3Bc%26d"),
      (
        "nbds://al%3Aice@h?tls-verify-peer=0&tls-psk-file=/k&tls-type=psk",
        "nbds://al%3Aice@h:10809/?tls-type=psk&tls-verify-peer=0&tls-psk-file=/k"
      ),
    ]
    for (text, expected) in canonical { #expect(try NBDURI(text).description == expected) }
  }

  @Test func onlyAddressesThatAURICanNameHaveOne() {
    #expect(NBDURI(address: .unix(path: Array("/s".utf8)), exportName: "")?.description == "nbd+unix:///?socket=/s")
    #expect(NBDURI(address: .tcp(host: "::1", port: 1), exportName: "é")?.description == "nbd://[::1]:1/%C3%A9")
    #expect(NBDURI(address: .descriptor(3), exportName: "") == nil)
    #expect(NBDURI(address: .command(["nbdkit"]), exportName: "") == nil)
    #expect(NBDURI(address: .tcp(host: "h", port: 1), exportName: String(repeating: "x", count: 4097)) == nil)
  }

  private func rendered(_ uri: NBDURI) -> String {
    var words: [String]
    switch uri.address {
    case .tcp(let host, let port): words = ["tcp", host, "\(port)"]
    case .unix(let path): words = ["unix", escaped(path)]
    case .vsock(let cid, let port): words = ["vsock", "\(cid)", "\(port)"]
    case .descriptor, .command, .socketActivation: words = ["no URI names this"]
    }
    words.append("\"" + escaped(Array(uri.exportName.utf8)) + "\"")
    if case .required(let tls) = uri.tls {
      words.append("tls")
      if let type = tls.authentication { words.append("type=\(type.rawValue)") }
      if let hostname = tls.hostname { words.append("hostname=\(hostname)") }
      if !tls.verifiesPeer { words.append("unverified") }
      if let username = tls.username { words.append("user=\(username)") }
      if let certificates = tls.certificates { words.append("certificates=\(certificates)") }
      if let file = tls.preSharedKeyFile { words.append("psk=\(file)") }
    }
    return words.joined(separator: " ")
  }

  private func escaped(_ bytes: [UInt8]) -> String {
    bytes.map { byte in
      (0x20..<0x7f).contains(byte)
        ? String(Unicode.Scalar(byte)) : "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }
}

/// `{N}` becomes N letters a.
private func expandingRepetition(_ text: Substring) -> String {
  guard let open = text.firstIndex(of: "{"), let close = text[open...].firstIndex(of: "}"),
    let count = Int(text[text.index(after: open)..<close])
  else { return String(text) }
  return text[..<open] + String(repeating: "a", count: count) + text[text.index(after: close)...]
}

/// The path of a file in the folder Fixtures of the checkout.
private func fixture(_ name: String, testFile: String = #filePath) -> FilePath {
  FilePath(testFile).removingLastComponent().removingLastComponent().removingLastComponent()
    .appending("Fixtures").appending(name)
}

private func readText(_ path: FilePath) throws -> String {
  let file = try FileDescriptor.open(path, .readOnly)
  return try file.closeAfter {
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      text += buffer.prefix(count)
    }
  }
}
