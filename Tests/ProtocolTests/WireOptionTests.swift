import Testing

@testable import NBDProtocol

/// What a client says in the option haggling: *Newstyle negotiation*, *Option types*.
@Suite struct WireOptionTests {
  @Test func header() {
    expectLayout("49484156454f5054 00000007 00000102", OptionHeader(.go, length: 0x102))
    expectLayout("49484156454f5054 00000002 00000000", OptionHeader(.abort))
  }

  @Test func headerThatNoClientMaySend() {
    expectLayout(
      "0123456789abcdef deadbeef ffffffff",
      OptionHeader(OptionType(rawValue: 0xdead_beef), length: .max, magic: 0x0123_4567_89ab_cdef))
  }

  @Test func informationRequest() {
    expectLayout(
      "00000004 6469736b 0003 0003 0001 0002",
      InformationRequest(name: ascii("disk"), items: [.blockSize, .name, .description]))
    expectLayout("00000000 0000", InformationRequest(name: [], items: []))
    expectLayout("00000001 ff 0001 abcd", InformationRequest(name: [0xff], items: [InfoType(rawValue: 0xabcd)]))
  }

  @Test func metaContextRequest() {
    expectLayout(
      "00000001 78 00000002 0000000f 626173653a616c6c6f636174696f6e 00000005 71656d753a",
      MetaContextRequest(name: ascii("x"), queries: [ascii("base:allocation"), ascii("qemu:")]))
    expectLayout("00000000 00000000", MetaContextRequest(name: [], queries: []))
    expectLayout("00000000 00000001 00000000", MetaContextRequest(name: [], queries: [[]]))
  }

  /// Counts are read before what they count.
  @Test(arguments: [
    "ffffffff 6469736b 0000", "00000004 646973", "00000004 6469736b ffff 0003", "7fffffff", "80000000 00",
  ])
  func informationRequestThatClaimsTooMuch(_ hex: String) {
    let bytes = octets(hex)
    #expect(InformationRequest(bytes.span.bytes) == nil)
  }

  @Test(arguments: ["ffffffff 00000000", "00000000 ffffffff 00000000", "00000000 00000001 ffffffff 626173653a"])
  func metaContextRequestThatClaimsTooMuch(_ hex: String) {
    let bytes = octets(hex)
    #expect(MetaContextRequest(bytes.span.bytes) == nil)
  }
}
