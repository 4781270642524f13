import Testing

@testable import NBDProtocol

/// Bounds on what a server can make the client hold.
@Suite struct HandshakeLimitTests {
  // RB-011: refused on its header, for any type, before a byte of it has come.
  @Test(arguments: [65537, 1 << 30, 0xffff_ffff] as [UInt32], [1, 2, 3, 4, 99, 0x8000_0001] as [UInt32])
  func anOversizeReplyIsRefusedOnItsHeader(length: UInt32, type: UInt32) throws {
    let header = join(be64(0x3e889045565a9), be32(7), be32(type), be32(length))
    let transcript = try go(header)
    #expect(transcript.violation?.contains("of at most 65536 bytes, found one of \(length)") == true)
  }

  @Test func theLargestReplyIsTaken() throws {
    let error = Server.reply(7, 0x8000_0006, [UInt8](repeating: 0x61, count: 65536))
    let transcript = try replay(.direct(), Server.greeting() + error)
    guard case .refused = transcript.error else { return #expect(Bool(false), "\(transcript.ending)") }
  }

  // RB-014
  @Test func theLongestListIsTakenAndOneMoreIsNot() throws {
    let entries = (0..<10_000).flatMap { Server.export("export \($0)") }
    let list = HandshakeRequest(goal: .list)
    let taken = try replay(list, Server.greeting() + entries + Server.ack(3))
    guard case .finished(.exports(let exports)) = taken.ending else {
      return #expect(Bool(false), "\(taken.error?.description ?? "")")
    }
    #expect(exports.count == 10_000 && exports.last?.name == "export 9999")

    let refused = try replay(list, Server.greeting() + entries + Server.export("one more"))
    #expect(refused.violation?.contains("at most 10000 replies") == true)
  }

  // RB-014: replies of no use are counted too, and so are contexts.
  @Test(arguments: [7, 9] as [UInt32]) func endlessRepliesEndTheHandshake(option: UInt32) throws {
    let isList = option == 9
    let request = isList ? HandshakeRequest(goal: .listContexts(queries: [])) : .direct()
    var machine = try HandshakeMachine(request)
    let opening = isList ? Server.greeting() + Server.ack(11) : Server.greeting()
    let reply = isList ? Server.context(9, id: 0, "x:y") : Server.info(0x7777, [])
    try machine.receive(opening.span.bytes)
    for _ in 0..<10_000 { try machine.receive(reply.span.bytes) }
    let error = #expect(throws: NBDError.self) { try machine.receive(reply.span.bytes) }
    #expect(error?.description.contains("at most 10000 replies") == true)
  }

  // RB-014: few replies, each as large as it may be.
  @Test func allRepliesTogetherAreBounded() throws {
    var machine = try HandshakeMachine(HandshakeRequest(goal: .list))
    let opening = Server.greeting()
    try machine.receive(opening.span.bytes)
    let entry = Server.reply(3, 2, be32(4096) + [UInt8](repeating: 0x61, count: 65532))
    for _ in 0..<256 { try machine.receive(entry.span.bytes) }
    let error = #expect(throws: NBDError.self) { try machine.receive(entry.span.bytes) }
    #expect(error?.description.contains("16777216 bytes in all replies") == true)
  }
}
