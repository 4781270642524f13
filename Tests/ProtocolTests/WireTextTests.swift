import Testing

@testable import NBDProtocol

@Suite struct WireTextTests {
  @Test func serversWordsAreEscapedForTheTerminal() {
    #expect(printable("\u{1b}[2Jgone\nhome\u{202e}") == "\\u{1b}[2Jgone\\u{a}home\\u{202e}")
    #expect(printable("Größe 1") == "Größe 1")
    #expect(printable(String(repeating: "x", count: 9000)).count == Limits.string)
  }
}
