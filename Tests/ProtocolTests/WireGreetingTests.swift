import Testing

@testable import NBDProtocol

/// *Newstyle negotiation*, *Oldstyle negotiation*.
@Suite struct WireGreetingTests {
  @Test func magics() {
    expectLayout("4e42444d 41474943", GreetingMagic(rawValue: Magic.initial))
    expectLayout("49484156 454f5054", GreetingMagic(rawValue: Magic.option))
    expectLayout("00004202 81861253", GreetingMagic(rawValue: Magic.oldstyle))
    expectLayout("48545450 2f312e31", GreetingMagic(rawValue: 0x4854_5450_2f31_2e31))
  }

  @Test func handshakeFlags() {
    expectLayout("0001", HandshakeFlags.fixedNewstyle)
    expectLayout("0002", HandshakeFlags.noZeroes)
    expectLayout("8003", HandshakeFlags(rawValue: 0x8003))
  }

  @Test func clientFlags() {
    expectLayout("00000001", ClientFlags.fixedNewstyle)
    expectLayout("00000002", ClientFlags.noZeroes)
    expectLayout("c0000003", ClientFlags(rawValue: 0xc000_0003))
  }

  @Test func oldstyleExport() {
    let export = OldstyleExport(size: 0x0102_0304_0506_0708, flags: 0xaabb_0105)
    expectLayout("0102030405060708 aabb0105" + String(repeating: "00", count: 124), export)
    #expect(export.transmissionFlags == [.hasFlags, .sendFlush, .canMultiConn])
  }

  @Test func reservedZerosOfAnOldstyleExportMayBeAnything() {
    let bytes = octets("0000000000001000 00000001" + String(repeating: "5a", count: 124))
    #expect(OldstyleExport(bytes.span.bytes) == OldstyleExport(size: 4096, flags: 1))
  }
}
