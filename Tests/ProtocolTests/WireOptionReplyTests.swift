import Testing

@testable import NBDProtocol

/// What a server answers in the option haggling: *Fixed newstyle negotiation*, *Option reply types*.
@Suite struct WireOptionReplyTests {
  @Test func header() {
    expectLayout("0003e889045565a9 00000007 00000003 0000000c", OptionReplyHeader(.info, to: .go, length: 12))
    expectLayout("0003e889045565a9 0000000b 80000001 00000000", OptionReplyHeader(.unsupported, to: .extendedHeaders))
  }

  @Test func headerThatNoServerMaySend() {
    expectLayout(
      "ffffffffffffffff 00000000 8000beef ffffffff",
      OptionReplyHeader(
        OptionReplyType(rawValue: 0x8000_beef), to: OptionType(rawValue: 0), length: .max, magic: .max))
  }

  @Test func server() {
    expectLayout("00000004 6469736b 61206f6e65", ServerReply(name: ascii("disk"), description: ascii("a one")), restSize: 5)
    expectLayout("00000000", ServerReply(name: []), restSize: 0)
    expectLayout("00000003 610062 ff", ServerReply(name: [0x61, 0, 0x62], description: [0xff]), restSize: 1)
  }

  @Test(arguments: ["00000005 6469736b", "ffffffff 6469736b", "80000000"])
  func serverWhoseNameClaimsTooMuch(_ hex: String) {
    let bytes = octets(hex)
    #expect(ServerReply(bytes.span.bytes) == nil)
  }

  @Test func metaContext() {
    expectLayout(
      "01020304 626173653a616c6c6f636174696f6e", MetaContextReply(id: 0x0102_0304, name: ascii("base:allocation")),
      restSize: 15)
    expectLayout("ffffffff", MetaContextReply(id: .max, name: []), restSize: 0)
  }

  @Test func informationAboutTheExport() {
    expectLayout(
      "0000 0102030405060708 0185", InfoItem.export(size: 0x0102_0304_0506_0708, flags: TransmissionFlags(rawValue: 0x185)))
    #expect(InfoItem.size(of: .export) == 12)
  }

  @Test func informationAboutBlockSizes() {
    expectLayout(
      "0003 00000200 00001000 02000000", InfoItem.blockSize(minimum: 512, preferred: 4096, maximumPayload: 1 << 25))
    expectLayout("0003 00000000 00000003 ffffffff", InfoItem.blockSize(minimum: 0, preferred: 3, maximumPayload: .max))
    #expect(InfoItem.size(of: .blockSize) == 14)
  }

  @Test func informationOfText() {
    expectLayout("0001 6469736b", InfoItem.name(ascii("disk")), restSize: 4)
    expectLayout("0002 74776f00", InfoItem.description([0x74, 0x77, 0x6f, 0]), restSize: 4)
    expectLayout("0002", InfoItem.description([]), restSize: 0)
    #expect(InfoItem.size(of: .name) == nil && InfoItem.size(of: .description) == nil)
  }

  @Test func informationThatNobodyKnows() {
    expectLayout("beef 0102", InfoItem.unknown(InfoType(rawValue: 0xbeef), [1, 2]), restSize: 2)
  }

  @Test func answerToExportName() {
    expectLayout("00000000 00100000 0003", ExportNameReply(size: 1 << 20, flags: [.hasFlags, .readOnly]))
    #expect(ExportNameReply.reservedSize == 124)
  }
}
