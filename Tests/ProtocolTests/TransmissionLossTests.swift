import TestSupport
import Testing

@testable import NBDProtocol

/// What the machine knows and reports when its connection is lost.
@Suite struct TransmissionLossTests {
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
      session.fail()
      #expect(session.outcomes.allSatisfy { $0.count == 1 })
    }
  }

  // What has not left cannot happen; what has left in part is judged by whole blocks.
  @Test func onlyWhatWasSentIsInDoubt() {
    var session = MachineSession(.test(.simple))
    session.submit(.write(4096, pattern(512)))
    session.submit(.read(0, 512))
    #expect(session.machine.mutationsInFlight.isEmpty)
    _ = session.takeOutput(28)
    #expect(session.machine.mutationsInFlight == [4096..<4608])
    session.submit(Ask(command: .trim, offset: 8192, length: 512))
    _ = session.takeOutput(1000)
    #expect(session.machine.mutationsInFlight == [4096..<4608, 8192..<8704])
  }

  @Test func aReadModifyWriteIsInDoubtWithItsWholeWindow() {
    var session = MachineSession(.test(.simple, minimum: 512))
    session.submit(.write(700, pattern(10)))
    session.submit(.write(900, pattern(200)))
    _ = session.requests()
    // The second one waits for the first one, and was not begun.
    #expect(session.machine.mutationsInFlight == [512..<1024])
    session.fail()
    #expect(session.outcomes == [[.connectionLost], [.connectionLost]])
  }
}
