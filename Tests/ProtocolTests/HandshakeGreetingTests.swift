import Testing

@testable import NBDProtocol

@Suite struct HandshakeGreetingTests {
  // HS-019, HS-020, HS-021, HS-022, HS-023
  @Test(arguments: [
    (0, 0, false), (1, 1, true), (2, 2, false), (3, 3, true), (0xfff3, 3, true), (0xffff, 3, true), (0xfffe, 2, false),
  ] as [(UInt16, UInt32, Bool)])
  func clientFlagsAnswerOnlyWhatWasOfferedAndKnown(server: UInt16, client: UInt32, isFixed: Bool) throws {
    let transcript = try replay(HandshakeRequest(exportName: "disk"), Server.greeting(server))
    let option = isFixed ? Client.option(11) : Client.option(1, ascii("disk"))
    #expect(transcript.sent == Client.flags(client) + option)
  }

  // HS-023, OPT-085, A31: no option but EXPORT_NAME, with and without the zeros.
  @Test(arguments: [true, false]) func aServerThatIsNotFixedIsAskedForTheExportOnly(noZeroes: Bool) throws {
    let transcript = try converse(
      HandshakeRequest(exportName: "disk"),
      [
        .server(Server.greeting(noZeroes ? 2 : 0)),
        .client(Client.flags(noZeroes ? 2 : 0) + Client.option(1, ascii("disk"))),
        .server(join(be64(8192), be16(0x0d), zeros(noZeroes ? 0 : 124))),
      ])
    let export = try #require(transcript.export)
    #expect(export.size == 8192 && export.flags == [.hasFlags, .sendFlush, .sendFUA])
    #expect(export.handshake == .newstyle && export.replies == .simple && export.contexts.isEmpty)
    #expect(export.blockSizes == .unasked(exportSize: 8192))
    #expect(transcript.notes.count == 1)
  }

  // There is no INFO: EXPORT_NAME begins the transmission phase, which DISC ends.
  @Test func informationFromAServerThatIsNotFixedEndsWithADisconnect() throws {
    let transcript = try converse(
      HandshakeRequest(exportName: "disk", goal: .information),
      [
        .server(Server.greeting(2)), .client(Client.flags(2) + Client.option(1, ascii("disk"))),
        .server(join(be64(8192), be16(1))), .client(Client.disconnect),
      ])
    #expect(transcript.export?.size == 8192)
  }

  @Test(arguments: [.list, .listContexts(queries: [])] as [HandshakeRequest.Goal])
  func aServerWithoutOptionsCannotList(goal: HandshakeRequest.Goal) throws {
    for greeting in [Server.greeting(0), Server.oldstyle(size: 512, flags: 1)] {
      let transcript = try replay(HandshakeRequest(goal: goal), greeting)
      #expect(transcript.sent == [])
      guard case .unsupported(let message) = transcript.error else {
        Issue.record("\(transcript.ending)")
        continue
      }
      #expect(message.contains("newstyle handshake before it was fixed") || message.contains("oldstyle"))
    }
  }

  // HS-025, A27: the high half of the flags means nothing.
  @Test func anOldstyleServerIsServed() throws {
    let transcript = try converse(
      HandshakeRequest(), [.server(Server.oldstyle(size: 0x1_0000_0200, flags: 0xffff_0003))])
    let export = try #require(transcript.export)
    #expect(export.size == 0x1_0000_0200 && export.flags == [.hasFlags, .readOnly])
    #expect(export.handshake == .oldstyle && export.blockSizes.minimum == 512)
    #expect(transcript.notes.count == 1)
  }

  @Test func anOldstyleServersExportHasNoName() throws {
    let transcript = try converse(
      HandshakeRequest(exportName: "disk\u{1b}"), [.server(Server.oldstyle(size: 1000, flags: 1))])
    #expect(transcript.export?.name == "" && transcript.export?.blockSizes.minimum == 1)
    #expect(transcript.notes.last?.contains("\"disk\\u{1b}\" is ignored") == true)
  }

  @Test func oldstyleIsRefusedForInformation() throws {
    let transcript = try converse(
      HandshakeRequest(goal: .information), [.server(Server.oldstyle(size: 512, flags: 1))])
    guard case .unsupported = transcript.error else { return #expect(Bool(false), "\(transcript.ending)") }
    #expect(transcript.sent == [])
  }

  // RB-001, RB-006
  @Test(arguments: ["NBDMAGIX", "HTTP/1.1", "SSH-2.0-", "\u{16}\u{3}\u{1}\u{0}abcd"])
  func anotherProtocolIsNamedByItsFirstWords(words: String) throws {
    let transcript = try converse(HandshakeRequest(), [.server(ascii(words) + ascii(" 400 Bad Request"))])
    let message = try #require(transcript.violation)
    #expect(message.contains("expected 0x4e42444d41474943 (\"NBDMAGIC\")"))
    #expect(message.contains("(\"\(printable(words))\")"))
    #expect(transcript.sent == [])
  }

  // RB-002
  @Test func anotherSecondMagicEndsTheHandshakeSilently() throws {
    let transcript = try converse(HandshakeRequest(), [.server(ascii("NBDMAGICIHAVEOPS") + be16(3))])
    #expect(transcript.violation?.contains("IHAVEOPS") == true && transcript.sent == [])
  }

  // RB-005
  @Test(arguments: [
    (0, "after 0 bytes of its greeting"), (1, "after 1 bytes"), (7, "after 7 bytes"), (8, "after 8 bytes"),
    (17, "after 17 bytes"), (18, "before it answered NBD_OPT_EXTENDED_HEADERS"),
  ])
  func anEndInTheGreetingSaysHowFarItCame(length: Int, words: String) throws {
    let transcript = try replay(HandshakeRequest(), [Server.greeting()[..<length]], thenEnd: true)
    guard case .disconnected(let message) = transcript.error else {
      return #expect(Bool(false), "\(transcript.ending)")
    }
    #expect(message.contains("during the handshake, \(words)"))
  }

  // RB-003: the deadline is the transport's; the words for it are here.
  @Test func theMachineSaysWhatItWaitsFor() throws {
    #expect(try replay(HandshakeRequest(), []).ending == .waiting("the server's greeting"))
    let greeted = try replay(HandshakeRequest(), Server.greeting())
    #expect(greeted.ending == .waiting("the reply to NBD_OPT_EXTENDED_HEADERS"))
    // RB-027: the zeros that are due never come.
    let zeroless = try replay(.direct(), Server.greeting(0) + be64(512) + be16(1))
    #expect(zeroless.ending == .waiting("the reply to NBD_OPT_EXPORT_NAME"))
  }

  @Test func aFailureIsForGood() throws {
    var machine = try HandshakeMachine(HandshakeRequest())
    let wrong = ascii("NBDMAGIX")
    let first = #expect(throws: NBDError.self) { try machine.receive(wrong.span.bytes) }
    let right = Server.greeting()
    let second = #expect(throws: NBDError.self) { try machine.receive(right.span.bytes) }
    #expect(first == second && machine.receivedEndOfStream() == first)
    #expect(machine.outcome == nil && machine.takeOutput() == [])
  }

  @Test func anEndAfterTheEndKeepsTheOutcome() throws {
    var machine = try HandshakeMachine(HandshakeRequest(goal: .list))
    let said = Server.greeting() + Server.ack(3)
    try machine.receive(said.span.bytes)
    #expect(machine.receivedEndOfStream() == .disconnected("the server closed the connection after the handshake"))
    #expect(machine.outcome == .exports([]))
  }
}
