import TestSupport
import Testing

@testable import NBDProtocol

/// Random and damaged server bytes: no trap, no second completion, no memory that grows with them.
///
/// Each case follows from its seed, which a failure names. `NBD_FUZZ_CASES` asks for more of them, and `NBD_FUZZ_SEED` for a
/// first one.
@Suite struct FuzzTests {
  private static let cases = TestSetting.number("NBD_FUZZ_CASES") ?? 600
  private static let first = TestSetting.number("NBD_FUZZ_SEED") ?? 0
  private static let seeds = UInt64(first)..<UInt64(first + cases)

  @Test func damagedSessionsEndEachOperationOnce() throws {
    for seed in Self.seeds {
      var generator = SeededGenerator(seed)
      let recording = try #require(SessionRecordingTests.all.randomElement(using: &generator))
      let damaged = Self.damage(recording.serverBytes.count, &generator)
      var player = try SessionPlayer(exportName: recording.exportName)
      var position = 0
      for event in recording.events {
        switch event {
        case .submit(let text):
          // A damaged negotiation may never get here, or may forbid the operation.
          if player.isTransmitting, player.canDo(text) { try player.submit(text) }
        case .client: _ = player.output()
        case .server(let bytes):
          var changed: [UInt8] = []
          for byte in bytes {
            changed += damaged[position] ?? [byte]
            position += 1
          }
          let cut = Int.random(in: 0...changed.count, using: &generator)
          player.receive(changed[..<cut])
          player.receive(changed[cut...])
          let isStuck = player.isStuck
          #expect(!isStuck, "seed \(seed)")
        case .outcome: break
        }
      }
      let hasEndedOnce = player.end()
      #expect(hasEndedOnce, "seed \(seed)")
    }
  }

  @Test func randomBytesAfterTheHandshakeEndEachOperationOnce() {
    for seed in Self.seeds {
      var generator = SeededGenerator(seed)
      let replies = [ReplyForm.simple, .structured, .extended].randomElement(using: &generator) ?? .simple
      let block = [1, 512].randomElement(using: &generator) ?? 1
      var session = MachineSession(
        .test(replies, minimum: UInt32(block), maximum: 4096), isBufferless: Bool.random(using: &generator))
      for _ in 0..<8 {
        let offset = UInt64.random(in: 0..<10_000, using: &generator)
        let ask: Ask =
          switch Int.random(in: 0..<6, using: &generator) {
          case 0: .write(offset, pattern(100))
          case 1: .flush
          case 2: replies == .simple ? .flush : .status(offset, 5000)
          case 3: Ask(command: .writeZeroes, offset: offset, length: 5000)
          default: .read(offset, UInt64.random(in: 1..<6000, using: &generator))
          }
        session.submit(ask)
      }
      for _ in 0..<20 {
        let requests = session.requests()
        guard session.violation == nil, let request = requests.randomElement(using: &generator) else { break }
        session.receive(Self.reply(to: request, replies, &generator))
        let isStuck = session.isStuck
        #expect(!isStuck, "seed \(seed)")
      }
      session.fail()
      let hasEndedOnce = session.outcomes.allSatisfy { $0.count == 1 }
      #expect(hasEndedOnce, "seed \(seed): \(session.outcomes)")
    }
  }

  @Test func randomBytesInTheHandshakeEndIt() throws {
    for seed in Self.seeds {
      var generator = SeededGenerator(seed)
      var machine = try HandshakeMachine(HandshakeRequest())
      var error: NBDError?
      do throws(NBDError) {
        try machine.receive(Server.greeting(UInt16.random(in: 0...3, using: &generator)).span.bytes)
        for _ in 0..<5000 where machine.outcome == nil {
          // Replies to the option that waits, with anything in them.
          let sent = machine.takeOutput()
          let option = sent.count >= 8 ? UInt32(sent.dropFirst(sent.starts(with: ascii("IHAVEOPT")) ? 11 : 15).first ?? 0) : 7
          let type = [1, 2, 3, 4, 0x8000_0001, 0x8000_0006, UInt32.random(in: 0 ... .max, using: &generator)]
          let payload = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
            Bool.random(using: &generator) ? 0 : UInt8.random(in: 0...255, using: &generator)
          }
          let reply = Server.reply(option, type.randomElement(using: &generator) ?? 1, payload)
          try machine.receive(reply.span.bytes)
        }
      } catch let caught { error = caught }
      #expect((error == nil) == (machine.outcome != nil), "seed \(seed) has not ended")
      #expect(machine.takeOutput().count < 1 << 16 && machine.notes.count < 1000, "seed \(seed)")
    }
  }

  /// What to put in place of some of `count` bytes.
  private static func damage(_ count: Int, _ generator: inout SeededGenerator) -> [Int: [UInt8]] {
    var changes: [Int: [UInt8]] = [:]
    for _ in 0..<Int.random(in: 1...3, using: &generator) {
      let position = Int.random(in: 0..<max(count, 1), using: &generator)
      switch Int.random(in: 0..<5, using: &generator) {
      case 0: changes[position] = []
      case 1: changes[position] = zeros(Int.random(in: 2...40, using: &generator))
      case 2: changes[position] = [0xff]
      case 3: changes[position] = [0x80]
      default: changes[position] = [UInt8.random(in: 0...255, using: &generator)]
      }
    }
    return changes
  }

  /// A reply that is right in most respects, since pure noise does not get far.
  private static func reply(
    to request: SeenRequest, _ replies: ReplyForm, _ generator: inout SeededGenerator
  ) -> [UInt8] {
    func some(_ values: [UInt64]) -> UInt64 { values.randomElement(using: &generator) ?? 0 }
    let data = pattern(Int(some([0, 1, min(request.length, 6000), 12, 20, 24])))
    let isWrong = Int.random(in: 0..<10, using: &generator) == 0
    let handle = isWrong ? request.handle ^ some([1, 1 << 32, 1 << 63]) : request.handle
    if replies == .simple { return Reply.simple(handle, error: UInt32(some([0, 0, 0, 5, 108])), data) }
    let offset = some([request.offset, request.offset, request.offset &+ 1, .max, 1 << 63, request.offset &- 1])
    let length = UInt32(truncatingIfNeeded: some([request.length, 1, 0, 512, 0xffff_ffff]))
    let payloads: [(UInt16, [UInt8])] = [
      (0, []), (1, be64(offset) + data), (2, be64(offset) + be32(length)), (5, be32(7) + be32(length) + be32(1)),
      (6, be32(7) + be32(1) + be64(some([512, .max, 0])) + be64(3)), (0x8001, be32(5) + be16(2) + ascii("no")),
      (0x8002, be32(5) + be16(0) + be64(offset)), (UInt16(some([3, 0x8003, 0xffff])), data),
    ]
    let (type, payload) = payloads.randomElement(using: &generator) ?? (0, [])
    let flags = UInt16(some([0, 1, 1]))
    if replies == .structured { return Reply.structured(handle, type: type, flags: flags, payload) }
    return Reply.extended(handle, offset: request.offset, type: type, flags: flags, payload)
  }
}
