import Testing

@testable import NBDProtocol

/// `NBD_ESHUTDOWN`: what is in flight is finished, and nothing is begun.
@Suite struct TransmissionShutdownTests {
  private static let shutdown: UInt32 = 108

  @Test(arguments: ReplyForm.allForms) func nothingIsBegunAfterIt(replies: ReplyForm) {
    var session = MachineSession(.test(replies))
    session.submit(.flush)
    session.submit(.read(0, 512))
    let requests = session.requests()
    session.receive(replies.failure(requests[0], Self.shutdown))
    #expect(session.machine.isShutDown && session.outcomes[0] == [.failed(.shutdown)])
    for ask in [Ask.read(0, 512), .write(0, pattern(512)), .flush] { session.submit(ask) }
    #expect(session.requests() == [] && session.outcomes.suffix(3).allSatisfy { $0 == [.failed(.shutdown)] })
    // What was asked before is still answered.
    session.receive(replies.success(requests[1], pattern(512)))
    #expect(session.outcomes[1] == [.success] && session.machine.isIdle && session.violation == nil)
  }

  // More parts than may be in flight at one time: the rest is never sent.
  @Test func aRunningTransferStopsAndFails() {
    var session = MachineSession(.test(.simple, maximum: 4096))
    session.submit(.write(0, pattern(40 * 4096)))
    session.submit(.flush)
    var requests = session.requests()
    #expect(requests.count == 17)
    session.receive(Reply.simple(requests.removeLast().handle, error: Self.shutdown))
    for request in requests {
      #expect(session.outcomes[0] == [], "what was sent is waited for")
      session.receive(Reply.simple(request.handle))
    }
    #expect(session.requests() == [] && session.outcomes[0] == [.failed(.shutdown)] && session.machine.isIdle)
  }

  @Test func aTransferWhosePartsAreDoneSucceeds() {
    var session = MachineSession(.test(.simple, maximum: 4096))
    session.submit(.write(0, pattern(2 * 4096)))
    session.submit(.flush)
    let requests = session.requests()
    for (request, error) in zip(requests, [0, 0, Self.shutdown]) {
      session.receive(Reply.simple(request.handle, error: error))
    }
    #expect(session.outcomes[0] == [.success])
  }

  // The flush that stands in for FUA is not sent any more, so that nobody may be told that the data is durable.
  @Test func emulatedFUAFailsWithoutItsFlush() {
    var session = MachineSession(.test(.simple, flags: TransmissionFlags.everything.subtracting(.sendFUA)))
    session.submit(.write(0, pattern(512), .fua))
    session.submit(.read(0, 512))
    let requests = session.requests()
    session.receive(Reply.simple(requests[1].handle, error: Self.shutdown))
    session.receive(Reply.simple(requests[0].handle))
    #expect(session.requests() == [] && session.outcomes[0] == [.failed(.shutdown)])
  }

  // A write that waits for the blocks of another one.
  @Test func aWaitingTransferIsNotStarted() {
    var session = MachineSession(.test(.simple, minimum: 512))
    session.submit(.write(0, pattern(512)))
    session.submit(.write(0, pattern(512, from: 7)))
    let requests = session.requests()
    #expect(requests.count == 1)
    session.receive(Reply.simple(requests[0].handle, error: Self.shutdown))
    #expect(session.requests() == [] && session.outcomes == [[.failed(.shutdown)], [.failed(.shutdown)]])
  }

  // An error chunk says it before the reply is done.
  @Test(arguments: ChunkForm.allCases) func itIsNoticedWithTheErrorChunk(form: ChunkForm) {
    var session = MachineSession(.chunked(form))
    session.submit(.read(0, 512))
    session.receive(form.error(session.requests()[0], Self.shutdown, done: false))
    #expect(session.machine.isShutDown && session.outcomes[0] == [])
    session.fail()
  }
}
