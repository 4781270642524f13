import Testing

@testable import NBDProtocol

/// Simple replies, and what all replies have in common.
@Suite struct TransmissionReplyTests {
  // TX-078, RB-057
  @Test func repliesAreMatchedInAnyOrder() {
    let asks = (0..<8).map { Ask.read($0 * 16, 16) }
    let result = exchange(.test(.simple), asks, everyCut: true) { requests in
      [5, 2, 7, 0, 1, 6, 4, 3].flatMap { Reply.simple(requests[$0].handle, pattern(16, from: requests[$0].offset)) }
    }
    #expect(result.violation == nil)
    for number in 0..<8 { #expect(result.data[number] == pattern(16, from: UInt64(number) * 16)) }
  }

  @Test(arguments: [1, 1023, 65536, 65537, 300_000]) func aReadOfAnySizeArrivesWhole(count: Int) {
    let result = exchange(.test(.simple), [.read(4096, UInt64(count))], everyCut: false) { requests in
      Reply.simple(requests[0].handle, pattern(count))
    }
    #expect(result.data[0] == pattern(count))
  }

  @Test(arguments: ReplyForm.allForms) func aLargeReadIsReceivedInPlaceFromItsFirstByte(
    replies: ReplyForm
  ) throws {
    var session = MachineSession(.test(replies))
    for number in 0..<2 { session.submit(.read(UInt64(number) * 300_000, 300_000)) }
    let places = [0, 1].map { session.buffers[$0]?.start }
    // The reply's header, and in a chunk the data's offset.
    let header =
      switch replies {
      case .simple: 16
      case .structured: 20 + 8
      case .extended: 32 + 8
      }
    for (number, request) in session.requests().enumerated() {
      let data = pattern(300_000, from: request.offset)
      let reply =
        switch replies {
        case .simple: Reply.simple(request.handle, data)
        case .structured: ChunkForm.structured.data(request, at: request.offset, data, done: true)
        case .extended: ChunkForm.extended.data(request, at: request.offset, data, done: true)
        }
      #expect(session.room() == [.init(nil, header)])
      session.receive(reply[..<10])
      #expect(session.room() == [.init(nil, header - 10)])
      session.receive(reply[10..<header])
      #expect(session.room() == [.init(places[number], 300_000), .init(nil, header)])
      session.receive(reply[header...])
      #expect(session.data[number] == data)
    }
  }

  // RB-041
  @Test(arguments: [0, 0x2560_9513, 0x6744_6699, 0xffff_ffff, 0x668e_33ef, 0x6e8a_278c] as [UInt32])
  func anUnknownMagicEndsTheConnection(magic: UInt32) {
    let result = exchange(.test(.simple), [.read(0, 16)]) { be32(magic) + be32(0) + be64($0[0].handle) + zeros(64) }
    #expect(result.violation != nil && result.outcome == nil)
  }

  // RB-044, RB-045, RB-087: the forms that the negotiation excludes
  @Test(arguments: ReplyForm.allForms) func aReplyOfAnotherFormEndsTheConnection(
    replies: ReplyForm
  ) {
    for form in [ReplyForm.simple, .structured, .extended] where form != replies {
      let result = exchange(.test(replies), [.read(0, 4)]) { requests in
        switch form {
        case .simple: Reply.simple(requests[0].handle, [1, 2, 3, 4])
        case .structured: ChunkForm.structured.data(requests[0], at: 0, [1, 2, 3, 4], done: true)
        case .extended: ChunkForm.extended.data(requests[0], at: 0, [1, 2, 3, 4], done: true)
        }
      }
      #expect(result.violation != nil && result.outcome == nil, "\(form) in a \(replies) session")
    }
  }

  // RB-044
  @Test func aSimpleErrorToAStructuredReadEndsTheConnection() {
    let result = exchange(.test(.structured), [.read(0, 4)]) { Reply.simple($0[0].handle, error: 5) }
    #expect(result.violation != nil && result.outcome == nil)
  }

  // *Structured replies*: only reads and block status must be answered in chunks
  @Test func aSimpleReplyToAStructuredWriteIsTaken() {
    let result = exchange(.test(.structured), [.write(0, [1]), .flush]) {
      Reply.simple($0[0].handle) + Reply.simple($0[1].handle, error: 5)
    }
    #expect(result.outcomes == [[.success], [.failed(.ioError)]] && result.violation == nil)
  }

  // RB-040
  @Test func aSimpleSuccessToBlockStatusEndsTheConnection() {
    let result = exchange(.test(.structured), [.status(0, 512)]) { Reply.simple($0[0].handle) }
    #expect(result.violation != nil)
    let failed = exchange(.test(.structured), [.status(0, 512)]) { Reply.simple($0[0].handle, error: 22) }
    #expect(failed.violation == nil && failed.outcome == .failed(.invalidArgument))
  }

  // RB-042
  @Test(arguments: [0, 1, 1023, 1024, 1 << 31, 1 << 32, .max - 1, 1 << 63] as [UInt64])
  func aHandleOfNoCommandEndsTheConnection(difference: UInt64) {
    let result = exchange(.test(.simple), [.flush]) { Reply.simple($0[0].handle &+ difference &+ 1) }
    #expect(result.violation != nil && result.outcome == nil)
  }

  // RB-043, RB-076
  @Test(arguments: ChunkForm.allCases) func aSecondReplyEndsTheConnection(form: ChunkForm) {
    let simple = exchange(.test(.simple), [.flush, .flush]) { Reply.simple($0[0].handle) + Reply.simple($0[0].handle) }
    #expect(simple.violation != nil && simple.outcomes == [[.success], []])
    let chunked = exchange(.chunked(form), [.read(0, 1), .flush]) {
      form.data($0[0], at: 0, [9], done: true) + form.data($0[0], at: 0, [9], done: true)
    }
    #expect(chunked.violation != nil && chunked.outcomes == [[.success], []])
  }

  // RB-046: the end of the stream inside a payload
  @Test func aTruncatedReadIsNotASuccess() {
    let result = exchange(.test(.simple), [.read(0, 64), .flush]) { Reply.simple($0[0].handle, pattern(63)) }
    #expect(result.outcomes == [[], []] && result.violation == nil)
  }

  // RB-047
  @Test func aFailedReadHasNoPayload() {
    let result = exchange(.test(.simple), [.read(0, 16), .flush]) {
      Reply.simple($0[0].handle, error: 5, zeros(16)) + Reply.simple($0[1].handle)
    }
    #expect(result.outcomes == [[.failed(.ioError)], []] && result.violation != nil)
  }

  // TX-089, TX-097, TX-098, RB-048
  @Test(arguments: [1, 2, 5, 11, 12, 22, 28, 75, 95, 108, 116, 9999, 0xffff_ffff] as [UInt32])
  func anErrorFailsItsCommandOnly(code: UInt32) {
    let result = exchange(.test(.simple), [.read(0, 16), .read(0, 16)]) {
      Reply.simple($0[0].handle, error: code) + Reply.simple($0[1].handle, pattern(16))
    }
    #expect(result.outcomes == [[.failed(NBDErrorCode(rawValue: code))], [.success]])
  }

  // RB-056
  @Test func anEarlyErrorToAWriteWaitsForItsPayload() {
    for sent in stride(from: 28, through: 4096 + 28, by: 57) {
      var session = MachineSession(.test(.simple))
      session.submit(.write(0, pattern(4096)))
      session.submit(.flush)
      let first = session.takeOutput(sent)
      let handle: UInt64 = first[8..<16].reduce(0) { $0 << 8 | UInt64($1) }
      session.receive(Reply.simple(handle, error: 28))
      let isComplete = sent >= 4096 + 28
      #expect(session.outcomes[0] == (isComplete ? [.failed(.noSpace)] : []), "\(sent) bytes sent")
      let requests = session.requests()
      #expect(requests.map(\.command) == [SeenRequest.write, SeenRequest.flush])
      #expect(requests.first?.payload == pattern(4096))
      #expect(session.outcomes[0] == [.failed(.noSpace)])
      session.receive(Reply.simple(requests[1].handle))
      #expect(session.outcomes[1] == [.success] && session.violation == nil)
    }
  }

  @Test func bytesAfterTheHandshakeBelongToTheTransmission() {
    var session = MachineSession(.test(.simple), leftover: Reply.simple(77))
    session.drain()
    #expect(session.violation != nil, "a reply before any request")
  }
}
