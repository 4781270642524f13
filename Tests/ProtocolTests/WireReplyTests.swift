import Testing

@testable import NBDProtocol

/// *Simple reply message*, *Structured reply chunk message*, *Extended reply chunk message*, *Structured reply types*.
@Suite struct WireReplyTests {
  // MARK: Headers

  @Test func simple() {
    expectLayout("67446698 00000005 0102030405060708", ReplyHeader(simple: 0x0102_0304_0506_0708, error: .ioError))
    expectLayout("67446698 00000000 0000000000000009", ReplyHeader(simple: 9))
    expectLayout("67446698 ffffffff 0000000000000009", ReplyHeader(simple: 9, error: NBDErrorCode(rawValue: .max)))
  }

  @Test func structured() {
    expectLayout(
      "668e33ef 0001 8002 0102030405060708 0000000e",
      ReplyHeader(structured: 0x0102_0304_0506_0708, .errorOffset, flags: .done, length: 14))
    expectLayout(
      "668e33ef fffe 7fff 0000000000000009 ffffffff",
      ReplyHeader(
        structured: 9, ChunkType(rawValue: 0x7fff), flags: ReplyFlags(rawValue: 0xfffe), length: UInt64(UInt32.max)))
  }

  @Test func extended() {
    expectLayout(
      "6e8a278c 0000 0006 0102030405060708 0000000000002000 0000000100000008",
      ReplyHeader(extended: 0x0102_0304_0506_0708, .blockStatusExtended, offset: 0x2000, length: 0x1_0000_0008))
    expectLayout(
      "6e8a278c 0001 0001 0000000000000009 ffffffffffffffff ffffffffffffffff",
      ReplyHeader(extended: 9, .offsetData, flags: .done, offset: .max, length: .max))
  }

  @Test func magicSaysTheSize() {
    #expect(ReplyHeader.size(forMagic: 0x6744_6698) == 16)
    #expect(ReplyHeader.size(forMagic: 0x668e_33ef) == 20)
    #expect(ReplyHeader.size(forMagic: 0x6e8a_278c) == 32)
    #expect(ReplyHeader.size(forMagic: 0x2560_9513) == nil)
  }

  @Test func anotherMagicIsNoReply() {
    let bytes = octets("25609513" + String(repeating: "00", count: 28))
    #expect(ReplyHeader(bytes.span.bytes) == nil)
    #expect(ReplyHeader.magic(bytes.span.bytes) == 0x2560_9513)
  }

  @Test func magicThatIsNotWhole() {
    let bytes = octets("674466")
    #expect(ReplyHeader.magic(bytes.span.bytes) == nil)
  }

  // MARK: Payloads of chunks

  @Test func offsetData() {
    expectLayout("0102030405060708", OffsetData(offset: 0x0102_0304_0506_0708))
  }

  @Test func offsetHole() {
    expectLayout("0102030405060708 00010000", OffsetHole(offset: 0x0102_0304_0506_0708, length: 65536))
    expectLayout("ffffffffffffffff 00000000", OffsetHole(offset: .max, length: 0))
  }

  private func expectStatus(
    _ hex: String, _ value: StatusHeader, extended: Bool, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectLayout(
      hex, value, decode: { StatusHeader($0, extended: extended) },
      encode: { $0.append(to: &$1) },
      sourceLocation: sourceLocation)
  }

  @Test func statusHeader() {
    expectStatus("01020304", StatusHeader(contextID: 0x0102_0304), extended: false)
    expectStatus("01020304 ffffffff", StatusHeader(contextID: 0x0102_0304, count: .max), extended: true)
    #expect(StatusHeader.size(extended: false) == 4 && StatusHeader.size(extended: true) == 8)
  }

  private func expectDescriptor(
    _ hex: String, _ value: StatusDescriptor, extended: Bool, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectLayout(
      hex, value, decode: { StatusDescriptor($0, extended: extended) },
      encode: { $0.append(to: &$1, extended: extended) },
      sourceLocation: sourceLocation)
  }

  @Test func statusDescriptor() {
    expectDescriptor("00010000 00000003", StatusDescriptor(length: 65536, status: 3), extended: false)
    expectDescriptor("00000000 ffffffff", StatusDescriptor(length: 0, status: UInt64(UInt32.max)), extended: false)
    expectDescriptor(
      "0000000100000000 8000000000000002", StatusDescriptor(length: 1 << 32, status: 1 << 63 | 2), extended: true)
    #expect(StatusDescriptor.size(extended: false) == 8 && StatusDescriptor.size(extended: true) == 16)
  }

  private func expectError(
    _ hex: String, _ value: ErrorChunk, _ type: ChunkType, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectLayout(
      hex, value, decode: { ErrorChunk($0, type) },
      encode: { $0.append(to: &$1) },
      sourceLocation: sourceLocation)
  }

  @Test func error() {
    expectError("00000016 0003 626164", ErrorChunk(.invalidArgument, message: ascii("bad")), .error)
    expectError("00000000 0000", ErrorChunk(NBDErrorCode(rawValue: 0)), .error)
    expectError("0000270f 0001 ff", ErrorChunk(NBDErrorCode(rawValue: 9999), message: [0xff]), ChunkType(rawValue: 0xffff))
  }

  @Test func errorWithAnOffset() {
    expectError(
      "00000005 0003 626164 0102030405060708",
      ErrorChunk(.ioError, message: ascii("bad"), offset: 0x0102_0304_0506_0708), .errorOffset)
    expectError("0000001c 0000 ffffffffffffffff", ErrorChunk(.noSpace, offset: .max), .errorOffset)
  }

  @Test func errorWhoseMessageClaimsTooMuch() {
    let bytes = octets("00000005 ffff 626164 0102030405060708")
    #expect(ErrorChunk(bytes.span.bytes, .error) == nil)
    #expect(ErrorChunk(bytes.span.bytes, .errorOffset) == nil)
  }
}
