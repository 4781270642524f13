import Testing

@testable import NBDProtocol

/// How many receives a reply takes while large reads are in flight beside it: each is a system call of the reactor.
@Suite struct TransmissionReceiveTests {
  private static let large = 1 << 20

  /// Submits two large reads and `ask`, answers `ask` first and then the others. Returns the receives that its reply took.
  private func receives(
    _ export: Export, _ ask: Ask, isBufferless: Bool = true, reply: (SeenRequest) -> [UInt8]
  ) throws -> (count: Int, session: SessionResult) {
    var session = MachineSession(export, isBufferless: isBufferless)
    session.submit(.read(0, UInt64(Self.large)))
    session.submit(.read(UInt64(Self.large), UInt64(Self.large)))
    let third = session.submit(ask)
    let number = try #require(third)
    let requests = session.requests()
    session.receive(reply(requests[number]))
    let count = session.receives
    for request in requests.dropLast() {
      session.receive(export.replies.success(request, pattern(Self.large, from: request.offset)))
      #expect(session.data[Int(request.offset) / Self.large] == pattern(Self.large, from: request.offset))
    }
    #expect(session.receives - count <= 6, "the large replies took \(session.receives - count) receives")
    let result = SessionResult(
      outcomes: [session.outcomes[number]], data: session.data, extents: session.extents, violation: session.violation)
    return (count, result)
  }

  private static func export(_ replies: ReplyForm) -> Export { .test(replies, size: 16 << 20) }

  @Test(arguments: ReplyForm.allForms, [512, 4096, 65536]) func aSmallReadBesideLargeOnes(replies: ReplyForm, count: Int) throws {
    let offset = UInt64(4 << 20)
    let (receives, result) = try receives(Self.export(replies), .read(offset, UInt64(count))) {
      replies.success($0, pattern(count, from: $0.offset))
    }
    #expect(receives <= 3 && result.data[2] == pattern(count, from: offset), "\(receives) receives")
  }

  @Test(arguments: ChunkForm.allCases) func dataAfterAnErrorChunk(form: ChunkForm) throws {
    let export = Self.export(form == .structured ? .structured : .extended)
    let (receives, result) = try receives(export, .read(0, 1 << 20)) { request in
      form.error(request, 5, done: false) + form.data(request, at: 0, pattern(1 << 20), done: true)
    }
    // Dropped as it comes, as much as the receive buffer takes each time.
    #expect(receives <= 12 && result.outcome == .failed(.ioError), "\(receives) receives")
  }

  @Test(arguments: ChunkForm.allCases) func aLongListOfExtents(form: ChunkForm) throws {
    let export = Self.export(form == .structured ? .structured : .extended)
    let extents = (0..<10_000).map { (UInt64(512), UInt64($0 % 2)) }
    let (receives, result) = try receives(export, .status(0, 10_000 * 512)) { form.status($0, context: 7, extents) }
    #expect(receives <= 4 && result.extents[2]?.first?.count == 10_000, "\(receives) receives")
  }

  @Test(arguments: ChunkForm.allCases) func aLongErrorMessage(form: ChunkForm) throws {
    let export = Self.export(form == .structured ? .structured : .extended)
    let message = String(repeating: "a", count: 4096)
    let (receives, result) = try receives(export, .read(0, 512)) {
      form.error($0, 5, message)
    }
    #expect(receives <= 3 && result.outcome == .failed(.ioError), "\(receives) receives")
  }
}
