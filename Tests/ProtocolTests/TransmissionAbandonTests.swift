import TestSupport
import Testing

@testable import NBDProtocol

/// Operations that nobody waits for any more.
@Suite struct TransmissionAbandonTests {
  // Before it is sent, in flight, in the middle of its reply: the caller's memory is let go at once, and the session goes on.
  @Test(arguments: ReplyForm.allForms) func anAbandonedReadIsDroppedWhereverItIs(
    replies: ReplyForm
  ) throws {
    for isBufferless in [false, true] {
      for count in [64, 100_000] {
        let header = 32 + 8
        for cut in [0, 1, 15, 16, 20, 28, 32, header, header + 1, header + count / 2, header + count - 1] {
          var session = MachineSession(.test(replies), isBufferless: isBufferless)
          session.submit(.read(4096, UInt64(count)))
          session.submit(.read(0, 16))
          let requests = session.requests()
          func reply(_ request: SeenRequest, _ data: [UInt8]) -> [UInt8] {
            switch replies {
            case .simple: Reply.simple(request.handle, data)
            case .structured: ChunkForm.structured.data(request, at: request.offset, data, done: true)
            case .extended: ChunkForm.extended.data(request, at: request.offset, data, done: true)
            }
          }
          let bytes = reply(requests[0], pattern(count))
          let isComplete = cut >= bytes.count
          session.receive(bytes.prefix(cut))
          session.abandon(0)
          #expect(session.outcomes[0] == (isComplete ? [.success] : [.abandoned]), "cut at \(cut)")
          session.receive(bytes.dropFirst(cut))
          session.receive(reply(requests[1], pattern(16)))
          #expect(session.outcomes[1] == [.success] && session.data[1] == pattern(16) && session.violation == nil)
          #expect(session.outcomes[0].count == 1 && session.machine.isIdle)
        }
      }
    }
  }

  // TX-093: the payload goes out whole, from a copy
  @Test func anAbandonedWriteStillSendsItsPayload() {
    for sent in [0, 1, 27, 28, 29, 1000, 28 + 4095, 28 + 4096] {
      var session = MachineSession(.test(.simple))
      session.submit(.write(0, pattern(4096)))
      session.submit(.flush)
      _ = session.takeOutput(sent)
      session.buffers[0]?.fill(pattern(4096))
      let buffer = session.buffers[0]
      session.abandon(0)
      // What the caller does with its memory from now on is no concern of the connection's.
      buffer?.fill(zeros(4096))
      let requests = session.requests()
      #expect(requests.count == 2 && requests.first?.payload == pattern(4096), "abandoned after \(sent) bytes")
      session.receive(Reply.simple(requests[0].handle))
      session.receive(Reply.simple(requests[1].handle))
      #expect(session.outcomes == [[.abandoned], [.success]] && session.machine.isIdle)
    }
  }

  // Two writes of the same memory: the one that is abandoned must not take the other's place in the queue.
  @Test(arguments: [0, 1]) func abandoningOneOfTwoWritesOfTheSameMemoryCopiesItsOwnPayload(abandoned: Int) {
    var machine = TransmissionMachine(.test(.simple))
    let buffers = [GuardedBuffer(512), GuardedBuffer(512)]
    buffers[0].fill(pattern(512))
    // The same memory twice, and one of the callers frees it, which is played by overwriting the queue's view of it.
    for number in 0..<2 {
      let isTaken = machine.submit(
        Operation(
          .write, offset: UInt64(number) * 512, length: 512, buffer: buffers[0].start, token: Token(.source, UInt(number))))
      #expect(isTaken)
    }
    machine.abandon(Token(.source, UInt(abandoned)))
    buffers[0].fill([UInt8](repeating: 0xdd, count: 512))
    var reader = RequestReader()
    withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 8) { vectors in
      for vector in vectors.prefix(machine.output.fill(vectors)) {
        reader.append(UnsafeRawBufferPointer(start: vector.iov_base, count: vector.iov_len))
      }
    }
    for number in 0..<2 {
      let isCopy = reader.next()?.payload == pattern(512)
      #expect(isCopy == (number == abandoned), "write \(number)")
    }
    machine.fail { _ in }
  }

  @Test func anAbandonedTransferSendsNothingMore() {
    var session = MachineSession(.test(.simple, size: 1 << 20, maximum: 4096))
    session.submit(.read(0, 1 << 20))
    let requests = session.requests()
    #expect(requests.count == Transfer.commandsInFlight)
    session.receive(Reply.simple(requests[0].handle, zeros(4096)).prefix(100))
    session.abandon(0)
    #expect(session.outcomes[0] == [.abandoned])
    session.receive(zeros(4096 + 16 - 100))
    for request in requests.dropFirst() { session.receive(Reply.simple(request.handle, zeros(4096))) }
    // The one that was started when the first part ended is all that there may be.
    let more = session.requests()
    #expect(more.isEmpty && session.machine.isIdle && session.outcomes[0].count == 1)
  }

  // Read-modify-write: abandoned while the edge is read, while it is written back, and while it waits for another
  @Test(arguments: [0, 1, 2]) func anAbandonedReadModifyWriteLetsTheNextOneGo(stage: Int) {
    var session = MachineSession(.test(.simple, minimum: 512))
    session.submit(.write(1, pattern(10)))
    session.submit(.write(2, pattern(10)))
    session.submit(.write(3, pattern(10)))
    var requests = session.requests()
    #expect(requests.map(\.command) == [SeenRequest.read])
    switch stage {
    case 0: session.abandon(0)
    case 1:
      session.receive(Reply.simple(requests[0].handle, zeros(512)))
      requests = session.requests()
      session.abandon(0)
    default: session.abandon(1)
    }
    let abandoned = stage == 2 ? 1 : 0
    #expect(session.outcomes[abandoned] == [.abandoned])
    while !requests.isEmpty {
      for request in requests { session.receive(Reply.simple(request.handle, request.command == 0 ? zeros(512) : [])) }
      requests = session.requests()
    }
    #expect(session.machine.isIdle == true)
    for number in 0..<3 { #expect(session.outcomes[number] == [number == abandoned ? .abandoned : .success]) }
  }

  @Test func aWriteThatWaitedForAnAbandonedOneStarts() {
    var session = MachineSession(.test(.simple, minimum: 512))
    session.submit(.write(0, pattern(512)))
    session.submit(.write(1, pattern(1200)))
    session.submit(.write(1024, pattern(512)))
    let first = session.requests()
    #expect(first.count == 1, "the third overlaps the second, which overlaps the first")
    session.abandon(1)
    #expect(session.requests().map(\.offset) == [1024])
    session.fail()
    #expect(session.outcomes == [[.connectionLost], [.abandoned], [.connectionLost]])
  }

  @Test func anAbandonedStatusIsReadAndDropped() {
    var session = MachineSession(.test(.structured))
    session.submit(.status(0, 4096))
    let requests = session.requests()
    let reply = ChunkForm.structured.status(requests[0], context: 7, [(512, 1), (512, 0)])
    session.receive(reply.prefix(30))
    session.abandon(0)
    session.receive(reply.dropFirst(30))
    #expect(session.outcomes == [[.abandoned]] && session.machine.isIdle && session.violation == nil)
  }

  @Test func abandoningWhatIsDoneDoesNothing() {
    var session = MachineSession(.test(.simple))
    session.submit(.flush)
    let requests = session.requests()
    session.receive(Reply.simple(requests[0].handle))
    session.abandon(0)
    session.abandon(0)
    #expect(session.outcomes == [[.success]])
  }

  // RB-055: everything ends once, in whatever state the connection breaks
  @Test func aLostConnectionEndsEachOperationOnce() {
    var generator = SeededGenerator(5)
    for _ in 0..<30 {
      let block: UInt32 = Bool.random(using: &generator) ? 1 : 512
      var session = MachineSession(.test(.simple, minimum: block, maximum: 4096))
      for number in 0..<64 as Range<UInt64> {
        let ask: Ask =
          switch number % 4 {
          case 0: .read(number * 100, 3000)
          case 1: .write(number * 100, pattern(9000), .fua)
          case 2: .flush
          default: Ask(command: .writeZeroes, offset: number, length: 70_000)
          }
        session.submit(ask)
      }
      _ = session.takeOutput(Int.random(in: 0...50_000, using: &generator))
      while let request = session.reader.next(), Bool.random(using: &generator) {
        session.receive(Reply.simple(request.handle, request.command == 0 ? zeros(Int(request.length)) : []))
      }
      session.abandon(Int.random(in: 0..<64, using: &generator))
      session.fail()
      #expect(session.outcomes.allSatisfy { $0.count == 1 })
    }
  }
}
