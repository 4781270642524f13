import Testing

@testable import NBDProtocol

/// What the client sends.
@Suite struct TransmissionRequestTests {
  /// The raw bytes that an operation puts on the wire.
  private func sent(_ export: Export, _ asks: [Ask]) -> [SeenRequest] {
    var session = MachineSession(export)
    for ask in asks { session.submit(ask) }
    let requests = session.requests()
    #expect(!session.reader.isBroken && session.reader.rest == 0)
    session.fail()
    return requests
  }

  // TX-076, EH-032
  @Test func aCompactRequestIs28BytesInNetworkOrder() {
    var session = MachineSession(.test(.structured))
    session.submit(Ask(command: .writeZeroes, flags: [.fua, .noHole], offset: 0x0102, length: 0x0304))
    let bytes = session.takeOutput()
    #expect(Array(bytes[..<8]) == [0x25, 0x60, 0x95, 0x13, 0, 3, 0, 6])
    #expect(Array(bytes[16...]) == [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4])
    session.fail()
  }

  // EH-029: 32-byte requests, and PAYLOAD_LEN on writes only
  @Test func anExtendedWriteSaysThatItsLengthIsPayload() {
    let requests = sent(.test(.extended), [.write(512, pattern(512), .fua), .read(0, 512), .flush, .status(0, 512)])
    #expect(requests.allSatisfy { $0.isExtended })
    #expect(requests.map(\.flags) == [SeenRequest.payloadLength | SeenRequest.fua, 0, 0, 0])
    #expect(requests[0].payload == pattern(512))
  }

  // TX-084
  @Test(arguments: ReplyForm.allForms) func flushHasNeitherOffsetNorLength(
    replies: ReplyForm
  ) {
    let requests = sent(.test(replies), [.flush])
    #expect(requests.map(\.command) == [SeenRequest.flush] && requests[0].offset == 0 && requests[0].length == 0)
  }

  // TX-085
  @Test(arguments: ReplyForm.allForms) func disconnectIsAllZeros(replies: ReplyForm) {
    var session = MachineSession(.test(replies))
    session.machine.disconnect()
    let bytes = session.takeOutput()
    #expect(bytes == (replies == .extended ? Client.disconnectExtended : Client.disconnect))
  }

  // TX-077
  @Test func handlesInFlightDiffer() {
    let requests = sent(.test(.simple), (0..<1000).map { .read($0 * 512, 512) })
    #expect(Set(requests.map(\.handle)).count == 1000)
  }

  // TX-043, RB-050: a handle that was answered is not used again soon, so that a late reply cannot hit another command
  @Test func handlesAreNotReusedAfterTheReply() {
    var session = MachineSession(.test(.simple))
    var handles = Set<UInt64>()
    for _ in 0..<3000 {
      session.submit(.flush)
      for request in session.requests() {
        #expect(handles.insert(request.handle).inserted)
        session.receive(Reply.simple(request.handle))
      }
    }
    #expect(handles.count == 3000)
  }

  // TX-090
  @Test(arguments: [Command.read, .write, .trim, .writeZeroes, .cache, .blockStatus]) func zeroLengthIsNeverSent(
    command: Command
  ) {
    for minimum in [1, 512] as [UInt32] {
      var session = MachineSession(.test(.structured, minimum: minimum))
      session.submit(Ask(command: command, offset: 512))
      #expect(session.requests() == [] && session.outcomes == [[.success]])
    }
  }

  // SZ-022
  @Test(arguments: [(1 << 20, 1), (1 << 20 - 1, 2), (1 << 63, 1), (UInt64.max, 1), (1, UInt64.max), (0, 1 << 20 + 1)] as [(UInt64, UInt64)])
  func aRangeBeyondTheEndIsALocalError(offset: UInt64, length: UInt64) {
    for command in [Command.read, .write, .trim, .writeZeroes, .cache, .blockStatus] {
      #expect(throws: NBDError.self) {
        try Export.test().check(.unsent(command, offset: offset, length: length))
      }
    }
  }

  // TX-079, TX-099, MC-054: nothing that was not advertised
  @Test func whatWasNotAdvertisedIsALocalError() {
    let bare = Export.test(.simple, flags: .hasFlags)
    let refused: [(Command, CommandFlags)] = [
      (.flush, []), (.trim, []), (.cache, []), (.blockStatus, []), (.writeZeroes, .fastZero), (.read, .dontFragment),
      (.write, .fua),
    ]
    for (command, flags) in refused {
      #expect(throws: NBDError.self, "\(command)") {
        try bare.check(.unsent(command, flags: flags, length: command == .flush ? 0 : 512))
      }
    }
    #expect(throws: Never.self) { try bare.check(.unsent(.write, length: 512)) }
  }

  // TX-082
  @Test(arguments: [Command.write, .trim, .writeZeroes]) func aReadOnlyExportIsNotWritten(command: Command) {
    let export = Export.test(flags: [.everything, .readOnly])
    #expect(throws: NBDError.readOnly) { try export.check(.unsent(command, length: 512)) }
  }

  // TX-091, TX-092
  @Test func flagsGoOnlyWithTheirCommands() {
    let allowed: [Command: CommandFlags] = [
      .read: .dontFragment, .write: .fua, .trim: .fua, .writeZeroes: [.fua, .noHole, .fastZero], .blockStatus: .requestOne,
    ]
    let export = Export.test()
    for command in Command.allCases where command != .disconnect {
      for bit in 0..<16 {
        let flag = CommandFlags(rawValue: 1 << bit)
        let operation = Operation.unsent(command, flags: flag, length: command == .flush ? 0 : 512)
        let isAccepted = (try? export.check(operation)) != nil
        #expect(isAccepted == (allowed[command]?.contains(flag) ?? false), "\(command), bit \(bit)")
      }
    }
  }

  // TX-080, TX-096: bits that mean nothing here, or RESIZE, change nothing
  @Test func unknownTransmissionFlagsAreIgnored() {
    let requests = sent(.test(flags: TransmissionFlags(rawValue: 0xfffd)), [.read(0, 512), .flush])
    #expect(requests.map(\.command) == [SeenRequest.read, SeenRequest.flush])
  }

  // SZ-020, SZ-021, SZ-023, SZ-024
  @Test(arguments: [65536, 1 << 25, 0xffff_ffff, 100_000] as [UInt32]) func largeTransfersAreSplitAtTheMaximumPayload(
    maximum: UInt32
  ) throws {
    let size: UInt64 = maximum > 1 << 20 ? 70 << 20 : 3 << 20
    var session = MachineSession(.test(.simple, size: size, maximum: maximum))
    session.submit(.read(0, size))
    var next: UInt64 = 0
    while session.outcomes[0].isEmpty {
      let requests = session.requests()
      try #require(!requests.isEmpty)
      for request in requests {
        #expect(request.offset == next && request.length <= min(maximum, 1 << 25))
        #expect(request.end % 4096 == 0, "split at a multiple of the preferred block")
        next = request.end
        session.receive(Reply.simple(request.handle, zeros(Int(request.length))))
      }
    }
    #expect(next == size && session.outcomes == [[.success]])
  }

  // EH-035
  @Test func extendedReadsStayBelow32Bits() {
    var session = MachineSession(.test(.extended, size: 1 << 40, maximum: .max), isBufferless: true)
    let ask = Ask(command: .writeZeroes, offset: 0, length: 9 << 30)
    session.submit(ask)
    let requests = session.requests()
    #expect(requests.count == 3 && requests.allSatisfy { $0.length < 1 << 32 })
    #expect(requests.map(\.length).reduce(0, +) == 9 << 30)
    session.fail()
  }

  // TX-093: partial sends keep the order of headers and payloads
  @Test func theBytesAreTheSameHoweverTheSocketTakesThem() {
    for step in [1, 3, 28, 100, 4096] {
      var session = MachineSession(.test(.simple))
      for number in 0..<20 as Range<UInt64> {
        session.submit(.write(number * 512, pattern(512, from: number)))
        session.submit(Ask(command: .trim, offset: 0, length: 512))
      }
      while !session.takeOutput(step).isEmpty {}
      let requests = session.requests()
      #expect(requests.count == 40 && session.reader.rest == 0)
      for (number, request) in requests.enumerated() where number % 2 == 0 {
        #expect(request.payload == pattern(512, from: UInt64(number / 2)))
      }
      session.fail()
    }
  }

  @Test func aFullTableRefusesAndTakesAgainAfterAReply() throws {
    var session = MachineSession(.test(.simple))
    var requests: [SeenRequest] = []
    for _ in 0..<1024 {
      session.submit(.read(0, 512))
      requests += session.requests()
    }
    #expect(requests.count == 1024 && session.submit(.read(0, 512)) == nil)
    session.receive(Reply.simple(requests[500].handle, zeros(512)))
    #expect(session.submit(.read(0, 512)) != nil)
    #expect(session.requests().count == 1)
    session.fail()
    #expect(session.outcomes.allSatisfy { $0.count == 1 })
  }

  @Test func aFullSendQueueRefusesAndTakesAgainAfterASend() {
    var session = MachineSession(.test(.simple, size: 1 << 30))
    var accepted = 0
    while session.submit(.write(UInt64(accepted) * 512, [1])) != nil { accepted += 1 }
    #expect(accepted > 100 && accepted < 1024)
    #expect(session.requests().count == accepted)
    #expect(session.submit(.write(0, [1])) != nil)
    session.fail()
  }
}
