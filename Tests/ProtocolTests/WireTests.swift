import Testing

@testable import NBDProtocol

@Suite struct WireTests {
  @Test func compactRequestIsTheSpecifications28Bytes() {
    let header = RequestHeader(
      flags: [.fua, .noHole], command: .writeZeroes, handle: 0x0102_0304_0506_0708, offset: 0x1122_3344_5566_7788,
      length: 0x99aa_bbcc)
    var bytes = [UInt8](repeating: 0, count: RequestHeader.extendedSize)
    let size = bytes.withUnsafeMutableBytes { header.encode(extended: false, to: $0.baseAddress!) }
    #expect(size == 28)
    #expect(
      bytes.prefix(28).elementsEqual([
        0x25, 0x60, 0x95, 0x13, 0x00, 0x03, 0x00, 0x06, 1, 2, 3, 4, 5, 6, 7, 8,
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
      ]))
  }

  @Test func extendedRequestIsTheSpecifications32Bytes() {
    let header = RequestHeader(
      flags: .payloadLength, command: .write, handle: 7, offset: 4096, length: 0x1_0000_0000)
    var bytes = [UInt8](repeating: 0, count: RequestHeader.extendedSize)
    let size = bytes.withUnsafeMutableBytes { header.encode(extended: true, to: $0.baseAddress!) }
    #expect(size == 32)
    #expect(
      bytes == [
        0x21, 0xe4, 0x1c, 0x71, 0x00, 0x20, 0x00, 0x01, 0, 0, 0, 0, 0, 0, 0, 7,
        0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 0,
      ])
  }

  @Test func replyHeadersOfAllThreeForms() {
    let simple: [UInt8] = [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9]
    let first = ReplyHeader(simple.span.bytes)
    #expect(first.form == .simple && first.error == .ioError && first.handle == 9)

    let structured: [UInt8] = [
      0x66, 0x8e, 0x33, 0xef, 0, 1, 0x80, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 14,
    ]
    let second = ReplyHeader(structured.span.bytes)
    #expect(second.form == .structured && second.type == .errorOffset && second.flags == .done && second.length == 14)

    let extended: [UInt8] = [
      0x6e, 0x8a, 0x27, 0x8c, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 8,
    ]
    let third = ReplyHeader(extended.span.bytes)
    #expect(third.form == .extended && third.type == .blockStatusExtended && third.flags == [])
    #expect(third.offset == 0x2000 && third.length == 0x1_0000_0008)
    #expect(ReplyHeader.size(forMagic: 0x6e8a_278c) == 32 && ReplyHeader.size(forMagic: 0) == nil)
  }

  @Test func aServersWordsAreEscapedForTheTerminal() {
    #expect(printable("\u{1b}[2Jgone\nhome\u{202e}") == "\\u{1b}[2Jgone\\u{a}home\\u{202e}")
    #expect(printable("Größe 1") == "Größe 1")
    #expect(printable(String(repeating: "x", count: 9000)).count == Limits.string)
  }

  @Test func numbersThatNobodyKnowsSurviveAndPrint() {
    #expect(ChunkType(rawValue: 0xffff).isError)
    #expect(OptionReplyType(rawValue: 0x8000_beef).isError)
    #expect(NBDErrorCode(rawValue: 9999).description == "error 9999")
    #expect(OptionReplyType(rawValue: 0x8000_beef).description == "option reply 0x8000beef")
  }
}
