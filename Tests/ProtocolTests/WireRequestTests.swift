import Testing

@testable import NBDProtocol

/// *Request message*.
@Suite struct WireRequestTests {
  private func expectRequest(
    _ hex: String, _ value: RequestHeader, extended: Bool, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectLayout(
      hex, value, decode: { RequestHeader($0) }, encode: { $1 += $0.encoded(extended: extended) },
      sourceLocation: sourceLocation)
  }

  @Test func compact() {
    expectRequest(
      "25609513 0003 0006 0102030405060708 1122334455667788 99aabbcc",
      RequestHeader(
        flags: [.fua, .noHole], command: .writeZeroes, handle: 0x0102_0304_0506_0708, offset: 0x1122_3344_5566_7788,
        length: 0x99aa_bbcc),
      extended: false)
  }

  @Test func extended() {
    expectRequest(
      "21e41c71 0020 0001 0000000000000007 0000000000001000 0000000100000000",
      RequestHeader(flags: .payloadLength, command: .write, handle: 7, offset: 4096, length: 0x1_0000_0000),
      extended: true)
  }

  @Test func commandThatNobodyKnows() {
    var header = RequestHeader(command: .read, handle: 1, offset: 2, length: 3)
    header.flags = CommandFlags(rawValue: 0xffff)
    header.type = 0xfffe
    expectRequest("25609513 ffff fffe 0000000000000001 0000000000000002 00000003", header, extended: false)
  }

  @Test func compactFormHasTheLowHalfOfALength() {
    let header = RequestHeader(command: .trim, handle: 0, offset: 0, length: 0x1_0000_0200)
    #expect(header.encoded(extended: false).suffix(4).elementsEqual(octets("00000200")))
  }

  @Test func encodingSaysHowMuchItWrote() {
    let header = RequestHeader(command: .read, handle: 1, offset: 2, length: 3)
    var bytes = [UInt8](repeating: 0xee, count: 33)
    bytes.withUnsafeMutableBytes { buffer in
      guard let start = buffer.baseAddress else { return }
      #expect(header.encode(extended: false, to: start) == 28)
      #expect(buffer[28] == 0xee)
      #expect(header.encode(extended: true, to: start) == 32)
      #expect(buffer[32] == 0xee)
    }
  }

  @Test func anotherMagicIsNoRequest() {
    let bytes = octets("67446698 0000 0000 0000000000000007 0000000000001000 00000000 00000000")
    #expect(RequestHeader(bytes.span.bytes) == nil)
    #expect(RequestHeader.size(forMagic: 0x2560_9513) == 28 && RequestHeader.size(forMagic: 0x21e4_1c71) == 32)
    #expect(RequestHeader.size(forMagic: 0x6744_6698) == nil)
  }
}
