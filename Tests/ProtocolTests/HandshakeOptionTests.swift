import Testing

@testable import NBDProtocol

/// The order of the options, and where each refusal leads.
@Suite struct HandshakeOptionTests {
  static let request = HandshakeRequest(exportName: "disk")
  static let greeted: [Line] = [.server(Server.greeting()), .client(Client.flags(3) + Client.option(11))]
  static let askContexts = Line.client(Client.contexts(10, "disk", ["base:allocation"]))
  static let selected = Line.server(Server.context(10, id: 0xffff_ffff, "base:allocation") + Server.ack(10))
  static let askGo = Line.client(Client.go("disk"))
  static let gone = Line.server(
    Server.infoExport(size: 1 << 20, flags: 0x0101) + Server.infoSizes(1, 4096, 1 << 25) + Server.ack(7))

  // OPT-075, OPT-081, OPT-084, OPT-087, OPT-090, SZ-017, SZ-018, MC-053, MC-057, MC-062, EH-029, EH-031
  @Test func theFullNegotiationWithExtendedHeaders() throws {
    let transcript = try converse(
      Self.request,
      Self.greeted + [.server(Server.ack(11)), Self.askContexts, Self.selected, Self.askGo, Self.gone])
    let export = try #require(transcript.export)
    #expect(
      export
        == Export(
          name: "disk", size: 1 << 20, flags: [.hasFlags, .canMultiConn],
          blockSizes: BlockSizes(minimum: 1, preferred: 4096, maximumPayload: 1 << 25),
          contexts: [MetadataContext(id: 0xffff_ffff, name: "base:allocation")], replies: .extended))
    #expect(transcript.notes == [])
  }

  // EH-030, EH-036, OPT-082, RB-010: any error skips the step, and structured replies are the second choice.
  @Test(arguments: [1, 2, 3, 4, 6, 8, 9, 10, 0xbeef] as [UInt32])
  func refusedExtendedHeadersLeadToStructuredReplies(error: UInt32) throws {
    let transcript = try converse(
      Self.request,
      Self.greeted + [
        .server(Server.error(11, error, "no\u{7}")), .client(Client.option(8)), .server(Server.ack(8)),
        Self.askContexts, Self.selected, Self.askGo, Self.gone,
      ])
    #expect(transcript.export?.replies == .structured && transcript.export?.contexts.count == 1)
    #expect(transcript.notes.count == 1)
    #expect(transcript.notes.first?.contains("no extended headers") == true)
    #expect(transcript.notes.first?.hasSuffix("no\\u{7}") == true)
  }

  // OPT-083, MC-053: without structured replies no metadata context is asked for.
  @Test func refusedStructuredRepliesLeadToSimpleOnes() throws {
    let transcript = try converse(
      Self.request,
      Self.greeted + [
        .server(Server.error(11, 1)), .client(Client.option(8)), .server(Server.error(8, 1)), Self.askGo, Self.gone,
      ])
    #expect(transcript.export?.replies == .simple && transcript.export?.contexts == [])
    #expect(transcript.notes.count == 2)
  }

  @Test func whatIsNotWantedIsNotAsked() throws {
    let structured = HandshakeRequest(exportName: "disk", wantsExtendedHeaders: false, contexts: [])
    let transcript = try converse(
      structured,
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.option(8)), .server(Server.ack(8)),
        Self.askGo, Self.gone,
      ])
    #expect(transcript.export?.replies == .structured)

    var extendedOnly = Self.request
    extendedOnly.wantsStructuredReplies = false
    try converse(extendedOnly, Self.greeted + [.server(Server.error(11, 1)), Self.askGo, Self.gone])
  }

  // OPT-085, RB-010: only ERR_UNSUP falls back; with and without the zeros.
  @Test(arguments: [true, false]) func aServerWithoutGoIsGivenTheExportName(noZeroes: Bool) throws {
    let transcript = try converse(
      HandshakeRequest(exportName: "disk", wantsExtendedHeaders: false),
      [
        .server(Server.greeting(noZeroes ? 3 : 1)), .client(Client.flags(noZeroes ? 3 : 1) + Client.option(8)),
        .server(Server.ack(8)), Self.askContexts, Self.selected, Self.askGo, .server(Server.error(7, 1)),
        .client(Client.option(1, ascii("disk"))), .server(join(be64(1001), be16(0x81), zeros(noZeroes ? 0 : 124))),
      ])
    let export = try #require(transcript.export)
    #expect(export.handshake == .fixedNewstyle && export.replies == .structured && export.contexts.count == 1)
    #expect(export.size == 1001 && export.flags.contains(.sendDF))
    #expect(export.blockSizes == .unasked(exportSize: 1001))
    #expect(transcript.notes.count == 1)
  }

  // EH-029: EXPORT_NAME is forbidden after extended headers.
  @Test func thereIsNoFallbackFromGoWithExtendedHeaders() throws {
    let transcript = try converse(
      Self.request,
      Self.greeted + [
        .server(Server.ack(11)), Self.askContexts, Self.selected, Self.askGo, .server(Server.error(7, 1)),
        .client(Client.abort),
      ])
    #expect(transcript.error == .refused(option: .go, reply: .unsupported, message: ""))
  }

  // OPT-076, OPT-077, OPT-080, RB-010: every other error is the end, with ABORT as the last word.
  @Test(arguments: [2, 3, 4, 5, 6, 7, 8, 9, 10, 0xbeef] as [UInt32])
  func aRefusedExportIsLeftWithAbort(error: UInt32) throws {
    let transcript = try converse(
      .direct(),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.go("disk")),
        .server(Server.infoExport(size: 1, flags: 1) + Server.error(7, error, "export \u{1b}[31mmissing")),
        .client(Client.abort),
      ])
    let type = OptionReplyType(rawValue: 0x8000_0000 | error)
    #expect(
      transcript.error == .refused(option: .go, reply: type, message: "export \\u{1b}[31mmissing"))
  }

  // TLS-038, TLS-050: without TLS a server that wants it is left, and not asked for another export.
  @Test func aRefusalWithoutWordsIsExplained() throws {
    let lines: [Line] = [.server(Server.greeting()), .client(Client.flags(3) + Client.go("disk"))]
    let unknown = try converse(.direct(), lines + [.server(Server.error(7, 6)), .client(Client.abort)])
    #expect(unknown.error?.description.hasSuffix("NBD_REP_ERR_UNKNOWN: it has no such export") == true)
    let tls = try converse(.direct(), lines + [.server(Server.error(7, 5)), .client(Client.abort)])
    #expect(tls.error?.description.hasSuffix("NBD_REP_ERR_TLS_REQD: it wants TLS first") == true)
  }

  // OPT-077: shutting down and wanting TLS are not about the one option.
  @Test(arguments: [(5, OptionReplyType.tlsRequired), (7, .shutdown)] as [(UInt32, OptionReplyType)])
  func someErrorsEndTheHandshakeAtAnyStep(error: UInt32, reply: OptionReplyType) throws {
    let extended = try converse(
      Self.request, Self.greeted + [.server(Server.error(11, error, "later")), .client(Client.abort)])
    #expect(extended.error == .refused(option: .extendedHeaders, reply: reply, message: "later"))

    let structured = try converse(
      Self.request,
      Self.greeted + [
        .server(Server.error(11, 1)), .client(Client.option(8)), .server(Server.error(8, error, "later")),
        .client(Client.abort),
      ])
    #expect(structured.error == .refused(option: .structuredReply, reply: reply, message: "later"))

    let contexts = try converse(
      Self.request,
      Self.greeted + [
        .server(Server.ack(11)), Self.askContexts, .server(Server.error(10, error, "later")), .client(Client.abort),
      ])
    #expect(contexts.error == .refused(option: .setMetaContext, reply: reply, message: "later"))
  }

  // OPT-094: distinct from a broken connection, which the same end one byte later is.
  @Test func anEndAfterExportNameIsARefusedExport() throws {
    let said = Server.greeting(2)
    let refused = try replay(.direct(), [said[...]], thenEnd: true)
    guard case .refused(.exportName, _, let message) = refused.error else {
      return #expect(Bool(false), "\(refused.ending)")
    }
    #expect(message.contains("closed the connection"))

    let broken = try replay(.direct(), [(said + [0])[...]], thenEnd: true)
    #expect(
      broken.error
        == .disconnected(
          "the server closed the connection during the handshake, after 1 of the 10 bytes of its reply to "
            + "NBD_OPT_EXPORT_NAME"))
  }

  // RB-028, RB-029
  @Test func anEarlyEndNamesTheOption() throws {
    let silent = try replay(.direct(), [Server.greeting()[...]], thenEnd: true)
    #expect(silent.error?.description.hasSuffix("before it answered NBD_OPT_GO") == true)
    let information = Server.infoExport(size: 1, flags: 1)
    for reply in [[0], information, information.dropLast()] as [[UInt8]] {
      let cut = try replay(.direct(), [Server.greeting()[...], reply[...]], thenEnd: true)
      #expect(cut.error?.description.hasSuffix("in the middle of its reply to NBD_OPT_GO") == true)
    }
  }

  // OPT-079, OPT-080, OPT-086: INFO, then ABORT, and nobody waits for the reply.
  @Test func informationEndsWithAbort() throws {
    let transcript = try converse(
      .direct(goal: .information),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.go("disk", option: 6)),
        .server(Server.infoExport(size: 4096, flags: 1, option: 6) + Server.ack(6)), .client(Client.abort),
      ])
    #expect(transcript.ending == .finished(.information(Export(name: "disk", size: 4096, flags: .hasFlags))))
  }

  @Test func informationFallsBackToTheExportNameAndADisconnect() throws {
    let transcript = try converse(
      .direct(goal: .information),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.go("disk", option: 6)),
        .server(Server.error(6, 1)), .client(Client.option(1, ascii("disk"))),
        .server(be64(4096) + be16(1)), .client(Client.disconnect),
      ])
    #expect(transcript.export?.size == 4096)
  }

  // OPT-081: no other option for a list; INFO's and GO's replies do not belong to it.
  @Test func aListEndsWithAbort() throws {
    let transcript = try converse(
      HandshakeRequest(goal: .list),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.option(3)),
        .server(join(Server.export(""), Server.export("a", "the first"), Server.export("b c"), Server.ack(3))),
        .client(Client.abort),
      ])
    #expect(
      transcript.ending
        == .finished(
          .exports([
            ExportListing(name: ""), ExportListing(name: "a", description: "the first"), ExportListing(name: "b c"),
          ])))
  }

  @Test func aRefusedListIsAnErrorAndNotAnEmptyList() throws {
    let transcript = try converse(
      HandshakeRequest(goal: .list),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.option(3)),
        .server(Server.export("a") + Server.error(3, 2)), .client(Client.abort),
      ])
    #expect(transcript.error == .refused(option: .list, reply: .policy, message: ""))
  }

  // RB-026, OPT-090: what follows the end is not read here.
  @Test func bytesAfterTheEndBelongToTheTransmissionPhase() throws {
    let reply = Server.infoExport(size: 1, flags: 1) + Server.ack(7)
    let said = Server.greeting() + reply + zeros(124)
    let whole = try replay(.direct(), said)
    #expect(whole.leftover == zeros(124) && whole.export?.size == 1)
    for cut in said.indices {
      #expect(try replay(.direct(), [said[..<cut], said[cut...]]) == whole)
    }

    let named = try replay(.direct(), Server.greeting(2) + be64(512) + be16(1) + ascii("gDf"))
    #expect(named.leftover == ascii("gDf"))
    let old = try replay(.direct(), Server.oldstyle(size: 512, flags: 1) + [7])
    #expect(old.leftover == [7])
  }

  // OPT-079: the reply to ABORT, or none, is of no interest.
  @Test func bytesAfterAbortAreNobodys() throws {
    let said = Server.greeting() + Server.ack(3) + Server.ack(2)
    let transcript = try replay(HandshakeRequest(goal: .list), said)
    #expect(transcript.leftover == [] && transcript.ending == .finished(.exports([])))
  }

  // OPT-093, OPT-086
  @Test(arguments: [String(repeating: "x", count: 4097), String(repeating: "é", count: 2049), "a\0b"])
  func namesThatMayNotBeSentAreRefusedHere(name: String) throws {
    for request in [
      HandshakeRequest(exportName: name), HandshakeRequest(contexts: ["x:" + name]),
      HandshakeRequest(goal: .listContexts(queries: ["x:" + name])),
    ] {
      let error = #expect(throws: NBDError.self) { _ = try HandshakeMachine(request) }
      guard case .invalidArgument = error else { return #expect(Bool(false), "\(String(describing: error))") }
    }
  }

  @Test func theLongestNameIsSentWhole() throws {
    let name = String(repeating: "x", count: 4096)
    let transcript = try replay(.direct(name), Server.greeting())
    #expect(transcript.sent == Client.flags(3) + Client.go(name))
  }
}
