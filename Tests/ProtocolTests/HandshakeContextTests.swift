import Testing

@testable import NBDProtocol

/// Selecting and listing metadata contexts.
@Suite struct HandshakeContextTests {
  private func select(
    _ replies: [UInt8], asking contexts: [String] = ["base:allocation"], then lines: [Line]
  ) throws -> Transcript {
    let request = HandshakeRequest(exportName: "disk", wantsExtendedHeaders: false, contexts: contexts)
    return try converse(
      request,
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.option(8)), .server(Server.ack(8)),
        .client(Client.contexts(10, "disk", contexts)), .server(replies),
      ] + lines)
  }

  private let gone: [Line] = [
    .client(Client.go("disk")), .server(Server.infoExport(size: 512, flags: 1) + Server.ack(7)),
  ]

  // MC-054, MC-057: ids are whatever the server likes, in whatever order.
  @Test func contextsKeepTheServersIds() throws {
    let replies = join(
      Server.context(10, id: 0xffff_ffff, "qemu:dirty-bitmap:b"), Server.context(10, id: 0, "base:allocation"),
      Server.ack(10))
    let transcript = try select(replies, asking: ["base:allocation", "qemu:dirty-bitmap:b"], then: gone)
    let export = try #require(transcript.export)
    #expect(export.context(named: "base:allocation")?.id == 0)
    #expect(export.context(named: "qemu:dirty-bitmap:b")?.id == 0xffff_ffff)
    #expect(transcript.notes == [])
  }

  // MC-054: an ACK alone selects nothing.
  @Test func noContextIsNoError() throws {
    let transcript = try select(Server.ack(10), then: gone)
    #expect(transcript.export?.contexts == [])
    #expect(transcript.notes == ["the server has no metadata context \"base:allocation\" for this export"])
  }

  // MC-055, MC-064
  @Test(arguments: [1, 2, 3, 6, 8, 9, 10, 0xbeef] as [UInt32])
  func contextsBeforeAnErrorAreDiscarded(error: UInt32) throws {
    let replies = Server.context(10, id: 5, "base:allocation") + Server.error(10, error, "no")
    let transcript = try select(replies, then: gone)
    #expect(transcript.export?.contexts == [])
    #expect(transcript.notes.count == 1 && transcript.notes.first?.hasSuffix(": no") == true)
  }

  // RB-031: it stays what the server called it.
  @Test func aContextThatWasNotAskedForIsNotTakenForAnother() throws {
    let transcript = try select(Server.context(10, id: 5, "x-other:thing") + Server.ack(10), then: gone)
    #expect(transcript.export?.contexts == [MetadataContext(id: 5, name: "x-other:thing")])
    #expect(transcript.export?.context(named: "base:allocation") == nil)
    #expect(transcript.notes.count == 1)
  }

  // RB-032, A18
  @Test(arguments: [(5, "base:allocation"), (6, "base:allocation"), (5, "x-other:thing")] as [(UInt32, String)])
  func contextsThatCannotBeToldApartEndTheHandshake(id: UInt32, name: String) throws {
    let replies = Server.context(10, id: 5, "base:allocation") + Server.context(10, id: id, name)
    let transcript = try select(replies, then: [])
    #expect(transcript.violation?.contains("expected each context once") == true)
  }

  // RB-033, RB-016, MC-062
  @Test(arguments: [
    [], [0, 0, 0], [0, 0, 0, 1] + ascii("base:\0"), [0, 0, 0, 1, 0xff, 0xfe],
    [0, 0, 0, 1] + [UInt8](repeating: 0x78, count: 4097),
  ])
  func aMalformedContextEndsTheHandshake(payload: [UInt8]) throws {
    // Long names are cut at fewer places: the machine's way does not depend on them.
    let said = join(Server.greeting(), Server.ack(8), Server.reply(10, 4, payload))
    let request = HandshakeRequest(wantsExtendedHeaders: false)
    let whole = try replay(request, said)
    #expect(whole.violation?.hasPrefix("reply to NBD_OPT_SET_META_CONTEXT: expected") == true)
    #expect(try replay(request, said.indices.map { said[$0...$0] }) == whole)
  }

  // MC-062
  @Test(arguments: ["allocation", ":allocation", "", "ba se:allocation", "base;allocation"])
  func aQueryWithoutANamespaceIsNeverSent(query: String) {
    for request in [
      HandshakeRequest(contexts: [query]), HandshakeRequest(goal: .listContexts(queries: [query])),
    ] {
      let error = #expect(throws: NBDError.self) { _ = try HandshakeMachine(request) }
      #expect(error?.description.contains("namespace and a colon") == true)
    }
  }

  // A18: servers count a repeated query as they like.
  @Test func repeatedContextsAreAskedForOnce() throws {
    let request = HandshakeRequest(wantsExtendedHeaders: false, contexts: ["x:a", "x:b", "x:a"])
    let transcript = try replay(request, Server.greeting() + Server.ack(8))
    #expect(
      transcript.sent
        == join(Client.flags(3), Client.option(8), Client.contexts(10, "", ["x:a", "x:b"])))
  }

  @Test func queriesTogetherAreBounded() {
    let queries = (0..<20).map { "x:\($0)" + String(repeating: "y", count: 4000) }
    #expect(throws: NBDError.self) { _ = try HandshakeMachine(HandshakeRequest(contexts: queries)) }
  }

  // MC-056: the ids of a list mean nothing, not even that they are alike.
  @Test(arguments: [[], ["base:"], ["base:", "qemu:"]]) func contextsAreListed(queries: [String]) throws {
    let transcript = try converse(
      HandshakeRequest(exportName: "disk", goal: .listContexts(queries: queries)),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.option(11)), .server(Server.error(11, 1)),
        .client(Client.option(8)), .server(Server.ack(8)), .client(Client.contexts(9, "disk", queries)),
        .server(
          join(
            Server.context(9, id: 0xdead_beef, "base:allocation"),
            Server.context(9, id: 0xdead_beef, "qemu:allocation-depth"), Server.ack(9))),
        .client(Client.abort),
      ])
    let names = ["base:allocation", "qemu:allocation-depth"]
    #expect(transcript.ending == .finished(.contexts(names.map { MetadataContext(id: 0, name: $0) })))
  }

  // MC-064: a server that does not know the option has no contexts; one that knows it and objects says why.
  @Test func aRefusedContextListIsEmptyOnlyWhereTheOptionIsUnknown() throws {
    let lines: [Line] = [
      .server(Server.greeting()), .client(Client.flags(3) + Client.option(11)), .server(Server.ack(11)),
      .client(Client.contexts(9, "", [])),
    ]
    let request = HandshakeRequest(goal: .listContexts(queries: []))
    let unknown = try converse(
      request,
      lines + [.server(Server.context(9, id: 0, "x:y") + Server.error(9, 1)), .client(Client.abort)])
    #expect(unknown.ending == .finished(.contexts([])) && unknown.notes.count == 1)
    let refused = try converse(request, lines + [.server(Server.error(9, 6)), .client(Client.abort)])
    let reason = "it has no such export"
    #expect(refused.error == .refused(option: .listMetaContext, reply: .unknownExport, message: reason))
  }

  @Test func withoutStructuredRepliesThereAreNoContextsToList() throws {
    let transcript = try converse(
      HandshakeRequest(goal: .listContexts(queries: [])),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.option(11)), .server(Server.error(11, 1)),
        .client(Client.option(8)), .server(Server.error(8, 1)), .client(Client.abort),
      ])
    #expect(transcript.ending == .finished(.contexts([])) && transcript.notes.count == 3)
  }
}
