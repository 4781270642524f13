import Testing

@testable import NBDProtocol

/// Commands that a server finds too large for it (*Size constraints*).
@Suite struct TransmissionTooLargeTests {
  private static let payload: UInt64 = 1 << 25
  private static let overflow: UInt32 = 75
  private static let invalid: UInt32 = 22

  /// Answers everything, what is larger than `largest` with `error`, and returns all that was asked.
  private func serve(_ session: inout MachineSession, largest: UInt64, error: UInt32) -> [SeenRequest] {
    var all: [SeenRequest] = []
    while true {
      let requests = session.requests()
      if requests.isEmpty { return all }
      all += requests
      for request in requests {
        if request.length > largest {
          session.receive(Reply.simple(request.handle, error: error))
        } else {
          let isRead = request.command == SeenRequest.read
          session.receive(Reply.simple(request.handle, isRead ? pattern(Int(request.length), from: request.offset) : []))
        }
      }
    }
  }

  @Test(arguments: [Command.trim, .writeZeroes], [overflow, invalid]) func effectsAreTriedAgainInSmallerCommands(
    command: Command, error: UInt32
  ) {
    var session = MachineSession(.test(.simple, size: 16 << 30))
    session.submit(Ask(command: command, offset: 1, length: 9 << 30))
    session.submit(Ask(command: command, offset: 0, length: 1 << 30))
    let requests = serve(&session, largest: Self.payload, error: error)
    #expect(session.outcomes == [[.success], [.success]])
    let done = requests.filter { $0.length <= Self.payload }.sorted { $0.offset < $1.offset }
    #expect(done.reduce(0) { $0 + $1.length } == 10 << 30, "every byte once for each")
    // The next one has learned.
    session.submit(Ask(command: command, offset: 0, length: 1 << 30))
    #expect(serve(&session, largest: Self.payload, error: error).allSatisfy { $0.length <= Self.payload })
    #expect(session.outcomes[2] == [.success] && session.machine.isIdle)
  }

  @Test(arguments: [Command.trim, .writeZeroes]) func anotherErrorIsTheAnswer(command: Command) {
    var session = MachineSession(.test(.simple, size: 16 << 30))
    session.submit(Ask(command: command, offset: 0, length: 1 << 30))
    let requests = serve(&session, largest: Self.payload, error: 5)
    #expect(requests.count == 1 && session.outcomes == [[.failed(.ioError)]])
  }

  // Small enough, and refused all the same: so that was not the reason.
  @Test func anErrorOfASmallCommandIsTheAnswer() {
    var session = MachineSession(.test(.simple))
    session.submit(Ask(command: .writeZeroes, offset: 0, length: 1 << 20))
    #expect(serve(&session, largest: 0, error: Self.invalid).count == 1)
    #expect(session.outcomes == [[.failed(.invalidArgument)]])
  }

  @Test(arguments: [false, true], [1, 512] as [UInt32]) func readsAreTriedAgainInSmallerCommands(
    isBufferless: Bool, block: UInt32
  ) {
    var session = MachineSession(.test(.simple, size: 16 << 20, minimum: block), isBufferless: isBufferless)
    session.submit(.read(0, 8 << 20))
    session.submit(.read(700, 3 << 20))
    let requests = serve(&session, largest: 1 << 20, error: Self.overflow)
    #expect(session.data[0] == pattern(8 << 20) && session.data[1] == pattern(3 << 20, from: 700))
    #expect(requests.count < 40)
    session.submit(.read(0, 8 << 20))
    #expect(serve(&session, largest: 1 << 20, error: Self.overflow).allSatisfy { $0.length <= 1 << 20 })
    #expect(session.violation == nil && session.machine.isIdle)
  }

  @Test func aSmallReadIsNotTriedAgain() {
    var session = MachineSession(.test(.simple))
    session.submit(.read(0, 1 << 20))
    let requests = serve(&session, largest: 0, error: Self.overflow)
    #expect(session.outcomes == [[.failed(.overflow)]] && requests.count < 40)
  }

  // With DF the caller asks to be told.
  @Test func anUnfragmentedReadIsNotTriedAgain() {
    var session = MachineSession(.test(.structured))
    session.submit(.read(0, 1 << 20, .dontFragment))
    let requests = session.requests()
    #expect(requests.map(\.flags) == [SeenRequest.dontFragment])
    session.receive(ChunkForm.structured.error(requests[0], Self.overflow))
    #expect(session.requests() == [] && session.outcomes == [[.failed(.overflow)]])
  }

  // qemu-nbd holds NBD_CMD_CACHE to the size of a payload.
  @Test(arguments: [1, 512] as [UInt32]) func cacheKeepsToTheMaximumPayload(block: UInt32) {
    var session = MachineSession(.test(.simple, size: 1 << 30, minimum: block))
    session.submit(Ask(command: .cache, offset: 100, length: 200 << 20))
    session.submit(Ask(command: .cache, offset: 100, length: Self.payload))
    let requests = serve(&session, largest: Self.payload, error: Self.invalid)
    #expect(requests.allSatisfy { $0.length <= Self.payload && $0.length > 0 })
    #expect(session.outcomes == [[.success], [.success]])
  }
}
