import Testing

@testable import NBDProtocol

/// The example in TransmissionMachine+Transfers.swift, step by step: the table there says what happens.
@Suite struct ReadModifyWriteExampleTests {
  private let disk = pattern(4096)
  private let b = [UInt8](repeating: 0xbb, count: 512)
  private let c = [UInt8](repeating: 0xcc, count: 512)

  /// The first four steps: A's two reads and C's write as the server sees them.
  private func begin(
    _ session: inout MachineSession, _ ask: CommandFlags = []
  ) throws -> (head: SeenRequest, tail: SeenRequest, c: SeenRequest) {
    session.submit(.write(1023, ascii("xyz"), ask))
    let reads = session.requests()
    try #require(reads.count == 2)
    session.submit(.write(1024, b))
    #expect(session.requests() == [], "step 3")
    session.submit(.write(2048, c))
    let rest = session.requests()
    try #require(rest.count == 1)
    return (reads[0], reads[1], rest[0])
  }

  private func session(_ flags: TransmissionFlags = .everything) -> MachineSession {
    MachineSession(.test(.simple, flags: flags, minimum: 512))
  }

  private func data(_ range: Range<Int>) -> [UInt8] { Array(disk[range]) }

  private func isRead(_ request: SeenRequest, at offset: UInt64) -> Bool {
    request.command == SeenRequest.read && request.offset == offset && request.length == 512
  }

  private func isWrite(_ request: SeenRequest, at offset: UInt64, _ payload: [UInt8]) -> Bool {
    request.command == SeenRequest.write && request.offset == offset && request.payload == payload
  }

  @Test func eachStepIsAsDocumented() throws {
    var session = session()
    let (head, tail, other) = try begin(&session)
    #expect(isRead(head, at: 512), "step 1")
    #expect(isRead(tail, at: 1024), "step 2")
    #expect(isWrite(other, at: 2048, c), "step 4")

    session.receive(Reply.simple(head.handle, data(512..<1024)))
    let headBack = session.requests()
    try #require(headBack.count == 1)
    #expect(isWrite(headBack[0], at: 512, data(512..<1023) + ascii("x")), "step 6")

    session.receive(Reply.simple(tail.handle, data(1024..<1536)))
    let tailBack = session.requests()
    try #require(tailBack.count == 1)
    #expect(isWrite(tailBack[0], at: 1024, ascii("yz") + data(1026..<1536)), "step 8")

    session.receive(Reply.simple(tailBack[0].handle))
    #expect(session.outcomes == [[], [], []] && session.requests() == [], "the head's reply is missing")
    session.receive(Reply.simple(headBack[0].handle))
    #expect(session.outcomes == [[.success], [], []], "step 9")
    let whole = session.requests()
    try #require(whole.count == 1)
    #expect(isWrite(whole[0], at: 1024, b), "step 10")

    session.receive(Reply.simple(whole[0].handle) + Reply.simple(other.handle))
    #expect(session.outcomes == [[.success], [.success], [.success]] && session.machine.isIdle)
  }

  @Test func tailMayComeFirst() throws {
    var session = session()
    let (head, tail, _) = try begin(&session)
    session.receive(Reply.simple(tail.handle, data(1024..<1536)))
    let tailBack = session.requests()
    #expect(tailBack.map(\.offset) == [1024])
    session.receive(Reply.simple(head.handle, data(512..<1024)))
    #expect(session.requests().map(\.offset) == [512])
    session.fail()
  }

  @Test func durabilityIsOnBothWrites() throws {
    var session = session()
    let (head, tail, _) = try begin(&session, .fua)
    session.receive(Reply.simple(head.handle, data(512..<1024)) + Reply.simple(tail.handle, data(1024..<1536)))
    #expect(session.requests().map(\.flags) == [SeenRequest.fua, SeenRequest.fua])
    session.fail()
  }

  @Test func withoutFUAOneFlushFollows() throws {
    var session = session(.everything.subtracting(.sendFUA))
    let (head, tail, _) = try begin(&session, .fua)
    session.receive(Reply.simple(head.handle, data(512..<1024)) + Reply.simple(tail.handle, data(1024..<1536)))
    let writes = session.requests()
    #expect(writes.map(\.flags) == [0, 0])
    for write in writes { session.receive(Reply.simple(write.handle)) }
    let flush = session.requests()
    #expect(flush.map(\.command) == [SeenRequest.flush] && session.outcomes[0] == [])
    for request in flush { session.receive(Reply.simple(request.handle)) }
    #expect(session.outcomes[0] == [.success])
    #expect(session.requests().map(\.offset) == [1024], "and only now B")
    session.fail()
  }

  @Test func failedReadWritesNothingOfItsBlock() throws {
    var session = session()
    let (head, tail, _) = try begin(&session)
    session.receive(Reply.simple(head.handle, error: 5))
    session.receive(Reply.simple(tail.handle, data(1024..<1536)))
    let rest = session.requests()
    #expect(session.outcomes[0] == [.failed(.ioError)])
    #expect(rest.count == 1 && rest.allSatisfy { isWrite($0, at: 1024, b) }, "B only")
    session.fail()
  }
}
