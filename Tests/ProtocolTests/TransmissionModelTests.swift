import TestSupport
import Testing

@testable import NBDProtocol

/// Random operations against a server in memory that answers them in random order.
@Suite struct TransmissionModelTests {
  struct Shape: CustomTestStringConvertible {
    var replies: ReplyForm
    var block: UInt32
    var maximum: UInt32
    var without: TransmissionFlags = []
    var testDescription: String { "\(replies), block \(block), maximum \(maximum), without \(without.rawValue)" }
  }

  static let shapes = [
    Shape(replies: .simple, block: 1, maximum: 1 << 25),
    Shape(replies: .structured, block: 1, maximum: 1024, without: [.sendFUA]),
    Shape(replies: .extended, block: 512, maximum: 4096),
    Shape(replies: .simple, block: 512, maximum: 512, without: [.sendFUA, .sendWriteZeroes, .sendFastZero]),
    Shape(replies: .structured, block: 4096, maximum: 8192, without: [.sendFUA]),
    Shape(replies: .simple, block: 4096, maximum: 1 << 25, without: [.sendWriteZeroes, .sendFastZero]),
  ]

  @Test(arguments: shapes) func randomOperationsEqualTheSameOnAnArray(shape: Shape) {
    let seeds = TestSetting.number("NBD_MODEL_SEEDS") ?? 3
    for seed in 0..<UInt64(seeds) { run(shape, seed) }
  }

  private func run(_ shape: Shape, _ seed: UInt64) {
    let size: UInt64 = 64 * 1024
    let export = Export.test(
      shape.replies, size: size, flags: TransmissionFlags.everything.subtracting(shape.without), minimum: shape.block,
      maximum: shape.maximum)
    var generator = SeededGenerator(seed)
    var reference = pattern(Int(size))
    var server = ModelServer(export, contents: reference)
    var session = MachineSession(export, isBufferless: seed % 2 == 0)
    var pending: [SeenRequest] = []
    var inFlight: [Int: (ask: Ask, expected: [UInt8]?)] = [:]

    func finish() {
      for (number, entry) in inFlight where !session.outcomes[number].isEmpty {
        inFlight[number] = nil
        #expect(session.outcomes[number] == [.success], "seed \(seed): \(entry.ask)")
        if let expected = entry.expected { #expect(session.data[number] == expected, "seed \(seed): \(entry.ask)") }
        let range = Int(entry.ask.offset)..<Int(entry.ask.offset + entry.ask.length)
        let isLatest = !inFlight.values.contains { Self.overlap($0.ask, entry.ask) }
        if entry.ask.flags.contains(.fua), entry.ask.command != .trim, isLatest {
          let isDurable = server.durable[range] == reference[range]
          #expect(isDurable, "seed \(seed): \(entry.ask.command) at \(range) is not durable")
        }
      }
    }
    for _ in 0..<120 {
      let ask = Self.randomAsk(size, &generator)
      // Without a minimum block nothing orders what overlaps, and a read beside a write may see either.
      let isOrdered = shape.block > 1 && ask.command.mutates
      let overlaps = inFlight.values.contains {
        Self.overlap($0.ask, ask) && (ask.command.mutates || $0.ask.command.mutates)
          && !(isOrdered && $0.ask.command.mutates)
      }
      if !overlaps, let number = session.submit(ask) {
        let range = Int(ask.offset)..<Int(ask.offset + ask.length)
        inFlight[number] = (ask, ask.command == .read ? Array(reference[range]) : nil)
        if ask.command == .write { reference.replaceSubrange(range, with: ask.payload) }
        if ask.command == .writeZeroes { reference.replaceSubrange(range, with: zeros(range.count)) }
      }
      pending += session.requests()
      for _ in 0..<Int.random(in: 0...3, using: &generator) {
        guard let index = pending.indices.randomElement(using: &generator) else { break }
        session.receive(server.execute(pending.remove(at: index)))
      }
      finish()
    }
    while true {
      pending += session.requests()
      guard let index = pending.indices.randomElement(using: &generator) else { break }
      session.receive(server.execute(pending.remove(at: index)))
      finish()
    }
    finish()
    #expect(inFlight.isEmpty && session.machine.isIdle && session.violation == nil, "seed \(seed)")
    #expect(server.contents == reference, "seed \(seed)")
  }

  private static func overlap(_ one: Ask, _ other: Ask) -> Bool {
    one.offset < other.offset + other.length && other.offset < one.offset + one.length
  }

  private static func randomAsk(_ size: UInt64, _ generator: inout SeededGenerator) -> Ask {
    let length = UInt64.random(in: 1...(Bool.random(using: &generator) ? 700 : 20_000), using: &generator)
    let offset = UInt64.random(in: 0...(size - length), using: &generator)
    let flags: CommandFlags = Int.random(in: 0..<4, using: &generator) == 0 ? .fua : []
    switch Int.random(in: 0..<10, using: &generator) {
    case 0..<4: return .write(offset, (0..<length).map { _ in UInt8.random(in: 1...255, using: &generator) }, flags)
    case 4..<7: return .read(offset, length)
    case 7: return Ask(command: .writeZeroes, flags: flags, offset: offset, length: length)
    case 8: return Ask(command: .trim, flags: flags, offset: offset, length: length)
    default: return Bool.random(using: &generator) ? .flush : Ask(command: .cache, offset: offset, length: length)
    }
  }
}
