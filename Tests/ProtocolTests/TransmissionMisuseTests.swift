import Testing

@testable import NBDProtocol

/// What would put the stream out of step, or hold a command for ever, cannot be asked for; and what only seems to be an
/// answer is none.
@Suite struct TransmissionMisuseTests {
  @Test func whatIsNoOperationIsALocalError() {
    let token = Token(.source, 0)
    for operation in [
      Operation(.write, length: 512, token: token), Operation(.disconnect, token: token),
      Operation(.flush, length: 512, token: token), Operation(.flush, offset: 512, token: token),
    ] {
      #expect(throws: NBDError.self, "\(operation.command)") { try Export.test().check(operation) }
    }
    #expect(throws: Never.self) { try Export.test().check(Operation(.write, token: token)) }
  }

  // A server cannot know a request that was not sent: it guessed.
  @Test(arguments: ReplyForm.allForms) func aReplyToWhatWasNotSentEndsTheConnection(replies: ReplyForm) {
    var other = MachineSession(.test(replies))
    other.submit(.flush)
    let guess = other.requests()[0]
    other.fail()
    let size = replies == .extended ? 32 : 28
    for sent in [0, 1, size - 1, size] {
      var session = MachineSession(.test(replies))
      session.submit(.flush)
      _ = session.takeOutput(sent)
      session.receive(replies.success(guess))
      #expect((session.violation == nil) == (sent == size), "\(sent) bytes sent")
      session.fail()
    }
  }

  // The last bytes of an export of no whole number of blocks are out of reach.
  @Test(arguments: [Command.blockStatus, .cache, .trim]) func aRangeWithoutAWholeBlockIsNotSent(command: Command) {
    var session = MachineSession(.test(.structured, size: 4096 + 100, minimum: 4096))
    session.submit(Ask(command: command, offset: 4096, length: 100))
    #expect(session.requests() == [] && session.outcomes == [[.success]] && session.machine.isIdle)
    if command == .blockStatus { #expect(session.extents[0] == [[]]) }
  }

  // A connection that has ended has no load: whoever shares work by it would wait for ever.
  @Test func nothingIsInFlightAfterTheEnd() {
    var session = MachineSession(.test(.simple, size: 16 << 20))
    session.submit(.read(0, 1 << 20))
    session.submit(.write(0, pattern(1 << 20)))
    session.submit(.read(0, 512))
    #expect(session.machine.payload == 2 << 20 + 512 && session.machine.load == 3)
    session.fail()
    #expect(session.machine.payload == 0 && session.machine.load == 0 && session.machine.isIdle)
    let isEmpty = session.machine.output.isEmpty
    #expect(isEmpty)
  }

  // A server that does not answer may be left at any time.
  @Test func disconnectMayFollowARequestWithoutAReply() {
    var session = MachineSession(.test(.simple))
    session.submit(.read(0, 512))
    let read = session.requests()[0]
    session.machine.disconnect()
    #expect(session.requests().map(\.command) == [SeenRequest.disconnect])
    session.receive(Reply.simple(read.handle, pattern(512)))
    #expect(session.data[0] == pattern(512) && session.violation == nil)
  }
}
