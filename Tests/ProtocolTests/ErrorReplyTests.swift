import Testing

@testable import NBDProtocol

/// What a server says about commands that fail, as it is kept for people (``ErrorReply``).
@Suite struct ErrorReplyTests {
  private static let noSpace: UInt32 = 28
  private static let overflow: UInt32 = 75
  private static let shutdown: UInt32 = 108

  @Test(arguments: ChunkForm.allCases) func theServersWordsAreKept(form: ChunkForm) throws {
    var session = MachineSession(.chunked(form))
    session.submit(.write(512, pattern(16)))
    let request = session.requests()[0]
    session.receive(form.error(request, Self.noSpace, "the disk is \u{1b}[31mfull"))
    let taken = session.machine.takeErrorReply()
    let error = try #require(taken)
    #expect(
      "\(error)"
        == #"the server answered NBD_CMD_WRITE of 16 bytes at 512 with NBD_ENOSPC: the disk is \u{1b}[31mfull"#)
    let another = session.machine.takeErrorReply()
    #expect(another == nil, "it was taken")
  }

  @Test func withoutChunksThereAreNoWords() throws {
    var session = MachineSession(.test(.simple))
    session.submit(.flush)
    let request = session.requests()[0]
    session.receive(Reply.simple(request.handle, error: 5))
    let error = session.machine.takeErrorReply()
    #expect(error.map { "\($0)" } == "the server answered NBD_CMD_FLUSH with NBD_EIO")
  }

  @Test func successLeavesNothing() throws {
    var session = MachineSession(.test())
    session.submit(.read(0, 16))
    let request = session.requests()[0]
    session.receive(ReplyForm.structured.success(request, pattern(16)))
    let isKept = Self.hasError(&session)
    #expect(!isKept)
  }

  /// The words come with a chunk that is not the last, and other replies come in between.
  @Test func wordsStayWithTheirCommand() throws {
    var session = MachineSession(.test())
    session.submit(.read(0, 16))
    session.submit(.read(512, 16))
    let requests = session.requests()
    let form = ChunkForm.structured
    session.receive(form.error(requests[0], 5, "bad sector", done: false))
    session.receive(form.error(requests[1], 1))
    session.receive(form.done(requests[0]))
    let taken = session.machine.takeErrorReply()
    let error = try #require(taken)
    #expect(error.offset == 512 && error.text == "" && error.more == 1, "the first is told, without the other's words")
    let isKept = Self.hasError(&session)
    #expect(!isKept)
  }

  @Test func onlyTheFirstWordsOfAReplyCount() throws {
    var session = MachineSession(.test())
    session.submit(.read(0, 16))
    let request = session.requests()[0]
    session.receive(ChunkForm.structured.error(request, 5, "first", done: false))
    session.receive(ChunkForm.structured.error(request, 1, "second"))
    let error = session.machine.takeErrorReply()
    #expect(error?.text == "first")
  }

  /// Of errors that nobody has taken, one is kept, and the others are counted.
  @Test func manyErrorsAreOne() {
    var session = MachineSession(.test())
    for _ in 0..<5 { session.submit(.read(0, 16)) }
    for request in session.requests() { session.receive(ChunkForm.structured.error(request, 5, "no")) }
    let error = session.machine.takeErrorReply()
    #expect(error.map { "\($0)" }?.hasSuffix("NBD_EIO: no (and 4 more errors)") == true)
  }

  @Test func aLongMessageIsCut() throws {
    var session = MachineSession(.test())
    session.submit(.read(0, 16))
    let request = session.requests()[0]
    session.receive(ChunkForm.structured.error(request, 5, String(repeating: "x", count: Limits.string)))
    let taken = session.machine.takeErrorReply()
    let error = try #require(taken)
    #expect("\(error)".count < ErrorReply.longestText + 100)
  }

  /// Too large for the server, which is no error yet: it is tried in smaller commands.
  @Test func whatIsTriedAgainHasNotFailed() {
    var session = MachineSession(.test())
    session.submit(.read(0, 1 << 20))
    session.receive(ChunkForm.structured.error(session.requests()[0], Self.overflow, "too large"))
    let requests = session.requests()
    let isKept = Self.hasError(&session)
    #expect(!requests.isEmpty && !isKept)
  }

  /// A part of a larger operation is named as the server was asked for it.
  @Test func aPartThatFailsIsTold() throws {
    var session = MachineSession(.test(maximum: 4096))
    session.submit(.write(0, pattern(8192)))
    let requests = session.requests()
    session.receive(ReplyForm.structured.success(requests[0]))
    session.receive(ChunkForm.structured.error(requests[1], Self.noSpace, "full"))
    let taken = session.machine.takeErrorReply()
    let error = try #require(taken)
    #expect(error.offset == 4096 && error.length == 4096 && error.text == "full")
  }

  @Test func aShutdownIsTheEndOfTheConnection() {
    var session = MachineSession(.test())
    session.submit(.read(0, 16))
    session.receive(ChunkForm.structured.error(session.requests()[0], Self.shutdown, "going down"))
    let isShutDown = session.machine.isShutDown
    let isKept = Self.hasError(&session)
    #expect(isShutDown && !isKept)
  }

  /// Something is kept for people.
  private static func hasError(_ session: inout MachineSession) -> Bool {
    session.machine.takeErrorReply() != nil || session.machine.errorText != nil
  }
}
