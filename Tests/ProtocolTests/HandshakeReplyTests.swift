import Testing

@testable import NBDProtocol

/// Replies that are malformed, in the wrong place, or merely odd.
@Suite struct HandshakeReplyTests {
  private let export = Server.infoExport(size: 4096, flags: 1)
  private let ack = Server.ack(7)

  // RB-007, OPT-078
  @Test func aWrongReplyMagicEndsTheHandshake() throws {
    let transcript = try go(join(be64(0x3e889045565aa), be32(7), be32(1), be32(0)))
    #expect(
      transcript.violation == "reply to NBD_OPT_GO: expected the magic 0x3e889045565a9, found 0x3e889045565aa")
  }

  // RB-008, RB-030
  @Test(arguments: [0, 6, 8, 11, 0xffff_ffff] as [UInt32])
  func aReplyToAnotherOptionEndsTheHandshake(option: UInt32) throws {
    let transcript = try go(Server.ack(option))
    #expect(transcript.violation?.hasPrefix("reply to NBD_OPT_GO: expected that option, found an answer to ") == true)
  }

  // RB-030: the second ACK meets the next option.
  @Test func acknowledgingTwiceEndsTheHandshake() throws {
    let request = HandshakeRequest(wantsExtendedHeaders: false, contexts: [])
    let transcript = try converse(
      request,
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.option(8)), .server(Server.ack(8)),
        .client(Client.go("")), .server(Server.ack(8)),
      ])
    #expect(transcript.violation?.contains("NBD_OPT_GO") == true)
  }

  // RB-009, RB-030, A22
  @Test(arguments: [0, 2, 4, 5, 99, 0x7fff_ffff] as [UInt32])
  func aReplyThatDoesNotBelongToTheOptionEndsTheHandshake(type: UInt32) throws {
    let transcript = try go(Server.reply(7, type, zeros(8)))
    #expect(
      transcript.violation
        == "reply to NBD_OPT_GO: expected NBD_REP_INFO, NBD_REP_ACK or an error, found "
        + "\(OptionReplyType(rawValue: type))")
    let structured = try replay(
      HandshakeRequest(wantsExtendedHeaders: false), Server.greeting() + Server.reply(8, type, zeros(8)))
    #expect(structured.violation?.contains("expected NBD_REP_ACK or an error") == true)
  }

  @Test func informationDoesNotBelongToAList() throws {
    let transcript = try replay(HandshakeRequest(goal: .list), Server.greeting() + Server.reply(3, 3, zeros(12)))
    #expect(transcript.violation?.contains("found NBD_REP_INFO") == true)
  }

  // RB-012, A23: the stream stays in step.
  @Test func dataAfterAnAckIsSkipped() throws {
    let transcript = try go(export, Server.reply(7, 1, ascii("welcome")))
    #expect(transcript.export?.size == 4096 && transcript.leftover == [])
    #expect(transcript.notes == ["NBD_OPT_GO: ignored 7 bytes of data after NBD_REP_ACK"])
  }

  // RB-013, A6
  @Test func theServersWordsAreCutRepairedAndEscaped() throws {
    let words = ascii("\u{1b}]0;x\u{7}\0") + [0xff, 0xfe] + [UInt8](repeating: 0x61, count: 9000)
    let said = Server.greeting() + Server.reply(7, 0x8000_0006, words)
    let transcript = try replay(.direct(), said)
    guard case .refused(.go, .unknownExport, let message) = transcript.error else {
      return #expect(Bool(false), "\(transcript.ending)")
    }
    #expect(message.hasPrefix("\\u{1b}]0;x\\u{7}\\u{0}\u{fffd}\u{fffd}aaaa"))
    #expect(message.filter { $0 == "a" }.count == Limits.string - 9)
    #expect(transcript.sent.suffix(16) == Client.abort[...])
  }

  // RB-015
  @Test(arguments: [[], [0, 0, 0], be32(1), be32(4) + ascii("abc"), be32(0xffff_ffff) + ascii("abc")])
  func aMalformedListEntryEndsTheHandshake(payload: [UInt8]) throws {
    let transcript = try converse(
      HandshakeRequest(goal: .list),
      [.server(Server.greeting()), .client(Client.flags(3) + Client.option(3)), .server(Server.reply(3, 2, payload))])
    #expect(transcript.violation?.hasPrefix("reply to NBD_OPT_LIST: expected") == true)
  }

  // RB-016, A6: such an export cannot be asked for, and the others can.
  @Test func exportsWhoseNamesCannotBeSentAreLeftOutOfTheList() throws {
    let long = Server.export(String(repeating: "x", count: 4097))
    let invalid = Server.reply(3, 2, be32(2) + [0xc3, 0x28])
    let said = join(
      Server.greeting(), long, invalid, Server.export("a\0b"), Server.export("good", "a\u{1b}b"), Server.ack(3))
    let transcript = try replay(HandshakeRequest(goal: .list), said)
    #expect(transcript.ending == .finished(.exports([ExportListing(name: "good", description: "a\u{1b}b")])))
    #expect(transcript.notes.count == 1 && transcript.notes.first?.hasPrefix("3 exports left out") == true)
  }

  @Test func aDescriptionIsCut() throws {
    let said = Server.greeting() + Server.export("a", String(repeating: "d", count: 5000)) + Server.ack(3)
    let transcript = try replay(HandshakeRequest(goal: .list), said)
    let description = String(repeating: "d", count: 4096)
    #expect(transcript.ending == .finished(.exports([ExportListing(name: "a", description: description)])))
  }

  // RB-017
  @Test func successWithoutAnExportIsNone() throws {
    let transcript = try go(
      Server.infoSizes(1, 4096, 4096), ack, goodbye: [.client(Client.disconnect)])
    #expect(
      transcript.violation == "reply to NBD_OPT_GO: expected NBD_INFO_EXPORT before NBD_REP_ACK, found none")
  }

  // RB-018, RB-019, RB-021
  @Test(arguments: [
    [], [0], [0, 0], be16(0) + zeros(8), be16(0) + zeros(9), be16(0) + zeros(11), be16(3), be16(3) + zeros(8),
    be16(3) + zeros(11), be16(3) + zeros(16),
  ])
  func anItemOfTheWrongSizeEndsTheHandshake(payload: [UInt8]) throws {
    let transcript = try go(Server.reply(7, 3, payload))
    #expect(transcript.violation?.hasPrefix("reply to NBD_OPT_GO: expected NBD_") == true)
    #expect(transcript.violation?.hasSuffix("found \(payload.count)") == true)
  }

  // OPT-088
  @Test(arguments: [0, 1, 4094]) func unknownItemsAreIgnored(size: Int) throws {
    let said = join(Server.greeting(), Server.info(0x7777, zeros(size)), export, ack)
    #expect(try replay(.direct(), said).export?.size == 4096)
  }

  // OPT-089
  @Test func theOrderOfItemsDoesNotMatter() throws {
    let items = [
      export, Server.infoSizes(512, 4096, 1 << 20), Server.info(1, ascii("real")), Server.info(2, ascii("A disk")),
    ]
    let expected = Export(
      name: "disk", size: 4096, flags: .hasFlags,
      blockSizes: BlockSizes(minimum: 512, preferred: 4096, maximumPayload: 1 << 20), canonicalName: "real",
      description: "A disk")
    for first in items.indices {
      let turned = Array(items[first...] + items[..<first])
      #expect(try go(turned.flatMap { $0 }, ack).export == expected)
      #expect(try go(turned.reversed().flatMap { $0 }, ack).export == expected)
    }
  }

  // RB-016 for an item that is only shown.
  @Test(arguments: [[0xff], [0x61, 0], [UInt8](repeating: 0x61, count: 4097)])
  func aCanonicalNameThatBreaksTheRulesIsDropped(name: [UInt8]) throws {
    let said = join(Server.greeting(), export, Server.info(1, name), ack)
    let transcript = try replay(.direct(), said)
    #expect(transcript.export?.size == 4096 && transcript.export?.canonicalName == nil)
  }

  // RB-020
  @Test func itemsMayRepeatThemselvesButNotChange() throws {
    #expect(try go(export, export, ack).export?.size == 4096)
    let resized = try go(export, Server.infoExport(size: 8192, flags: 1))
    #expect(resized.violation?.contains("NBD_INFO_EXPORT to say the same each time") == true)
    let reshaped = try go(Server.infoSizes(1, 512, 512), Server.infoSizes(2, 512, 512))
    #expect(reshaped.violation?.contains("NBD_INFO_BLOCK_SIZE to say the same each time") == true)
  }

  // RB-022
  @Test func withoutHasFlagsOnlyReadOnlyIsBelieved() throws {
    let transcript = try go(Server.infoExport(size: 4096, flags: 0xfffe), ack)
    #expect(transcript.export?.flags == .readOnly && transcript.notes.count == 1)
  }

  // RB-024
  @Test func flagsThatContradictTheNegotiationAreDropped() throws {
    let simple = try go(Server.infoExport(size: 4096, flags: 0x1881), ack)
    #expect(simple.export?.flags == .hasFlags)
    let zeroing = try go(Server.infoExport(size: 4096, flags: 0x0841), ack)
    #expect(zeroing.export?.flags == [.hasFlags, .sendWriteZeroes, .sendFastZero])

    let request = HandshakeRequest(contexts: [])
    let extended = try replay(
      request, join(Server.greeting(), Server.ack(11), Server.infoExport(size: 4096, flags: 0x1081), ack))
    #expect(extended.export?.flags == [.hasFlags, .sendDF, .blockStatusPayload])
    let structured = try replay(
      request,
      join(Server.greeting(), Server.error(11, 1), Server.ack(8), Server.infoExport(size: 4096, flags: 0x1081), ack))
    #expect(structured.export?.flags == [.hasFlags, .sendDF])
  }
}
