import Foundation
import NBDProtocol
import TestSupport
import Testing

/// The example in the README's section on the library: it compiles because it stands here, too.
@Suite struct ReadmeExampleTests {
  /// Not run: it wants a server at NBD's own port.
  private static func example() throws {
    // begin
    let client = try NBDClient(uri: "nbd://127.0.0.1/disk")
    print("\(client.export.size) bytes, \(client.export.replies) replies")

    let sector = try client.read(at: 0, count: 512)
    try client.write(sector, at: 4096)
    try client.flush()

    for extent in try client.blockStatus(at: 0, length: client.export.size) {
      print(extent.offset, extent.length, extent.status)
    }
    client.close()
    // end
  }

  @Test func theReadmeShowsWhatCompiles() throws {
    let readme = try String(contentsOfFile: Layout.packageRoot + "/README.md", encoding: .utf8)
    let shown = try #require(Self.part(of: readme, from: "```swift\nimport NBDProtocol\n\n", to: "```"))
    let source = try String(contentsOfFile: #filePath, encoding: .utf8)
    let compiled = try #require(Self.part(of: source, from: "    // begin\n", to: "    // end\n"))
    let lines = compiled.split(separator: "\n", omittingEmptySubsequences: false).map { $0.hasPrefix("    ") ? $0.dropFirst(4) : $0 }
    #expect(shown == lines.joined(separator: "\n"))
  }

  private static func part(of text: String, from start: String, to end: String) -> String? {
    guard let start = text.range(of: start), let end = text.range(of: end, range: start.upperBound..<text.endIndex) else {
      return nil
    }
    return String(text[start.upperBound..<end.lowerBound])
  }
}
