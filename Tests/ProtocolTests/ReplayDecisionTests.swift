import TestSupport
import Testing

@testable import NBDProtocol

/// When the log is flushed, when a new connection joins, and what of the log is sent again.
@Suite struct ReplayDecisionTests {
  private let second: UInt64 = 1_000_000_000

  @Test func aLogIsFlushedWhenItAsksOrAfterAWhile() {
    var rule = FlushRule()
    #expect(rule.next(isEmpty: true, wantsFlush: false, at: 0) == .rest)
    #expect(rule.next(isEmpty: false, wantsFlush: false, at: second) == .wait(until: 6 * second))
    #expect(rule.next(isEmpty: false, wantsFlush: false, at: 5 * second) == .wait(until: 6 * second))
    #expect(rule.next(isEmpty: false, wantsFlush: false, at: 6 * second) == .flush)
    // What comes after that has its own time.
    #expect(rule.next(isEmpty: false, wantsFlush: false, at: 7 * second) == .wait(until: 12 * second))
    #expect(rule.next(isEmpty: false, wantsFlush: true, at: 8 * second) == .flush)
    #expect(rule.next(isEmpty: false, wantsFlush: false, at: 9 * second) == .wait(until: 14 * second))
    #expect(rule.next(isEmpty: true, wantsFlush: false, at: 10 * second) == .rest)
    #expect(rule.next(isEmpty: false, wantsFlush: false, at: 20 * second) == .wait(until: 25 * second))
  }

  @Test func aConnectionJoinsWhenAllAreQuietOrIsPutOff() {
    let admission = Admission(stoppedAt: 10 * second)
    #expect(admission.next(isQuiet: false, at: 10 * second) == .wait(until: 11 * second))
    #expect(admission.next(isQuiet: true, at: 10 * second) == .join)
    #expect(admission.next(isQuiet: true, at: 12 * second) == .join)
    #expect(admission.next(isQuiet: false, at: 11 * second) == .putOff)
  }

  // Where everything is slow, one has to be waited for, or none ever joins.
  @Test func whatWasPutOffIsWaitedForTwiceAsLong() {
    for (attempts, patience) in [(0, 1), (1, 2), (3, 8), (5, 32), (100, 32)] as [(Int, UInt64)] {
      let admission = Admission(stoppedAt: 10 * second, after: attempts)
      #expect(admission.next(isQuiet: false, at: 10 * second) == .wait(until: (10 + patience) * second))
    }
  }

  // Rules 2 and 7: a server that is slow is not lost; what a disk takes for 64 MiB of random writes may be minutes.
  @Test func aSlowServerIsBoundedOnlyByThoseThatCouldGoOn() {
    for attempts in [0, 7] {
      #expect(Replay.patience(othersLive: false, after: attempts, answer: nil) == nil)
      #expect(Replay.patience(othersLive: false, after: attempts, answer: 3 * second) == 3 * second)
    }
    #expect([0, 1, 2].map { Replay.patience(othersLive: true, after: $0, answer: nil) } == [10, 20, 40].map { $0 * second })
  }

  @Test func sortedRangesEqualASetOfBytes() {
    var generator = SeededGenerator(1)
    for _ in 0..<200 {
      var ranges: [Range<UInt64>] = []
      var bytes: Set<UInt64> = []
      for _ in 0..<30 {
        let start = UInt64.random(in: 0..<100, using: &generator)
        let range = start..<(start + UInt64.random(in: 0...20, using: &generator))
        var new: [UInt64] = []
        ranges.unite(range) { new += Array($0) }
        #expect(new == range.filter { !bytes.contains($0) })
        bytes.formUnion(range)
        #expect(ranges.flatMap { Array($0) } == bytes.sorted())
        #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
      }
    }
  }

  // A replay that ends in the middle must not leave a living server with what is older.
  @Test func ofEachByteOnlyTheNewestIsSentAgain() throws {
    let log = try WriteLog(capacity: 1 << 20)
    let export = Export.test(.simple)
    var session = MachineSession(export, log: log)
    for (offset, value) in [(0, 1), (4096, 2), (2048, 3), (1024, 4)] as [(UInt64, UInt8)] {
      session.submit(.write(offset, [UInt8](repeating: value, count: 4096)))
      for request in session.requests() { session.receive(Reply.simple(request.handle)) }
    }
    var replay = LogReplay(log, export, leftover: [])
    var reader = RequestReader()
    #expect(try !replay.step())
    withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 64) { vectors in
      let count = replay.machine.output.fill(vectors)
      for vector in vectors.prefix(count) { reader.append(UnsafeRawBufferPointer(start: vector.iov_base, count: vector.iov_len)) }
    }
    var contents = zeros(8192)
    var written = 0
    while let request = reader.next() {
      #expect(request.command == SeenRequest.write)
      contents.replaceSubrange(Int(request.offset)..<Int(request.end), with: request.payload)
      written += request.payload.count
    }
    #expect(written == 8192)
    let expected = [(1, 1024), (4, 4096), (3, 1024), (2, 2048)].flatMap { [UInt8](repeating: $0.0, count: $0.1) }
    #expect(contents == expected)
  }

  // Two read-modify-writes of a block lose one of the changes, whoever has passed the gate.
  @Test func whatAConnectionHoldsStopsWhatHasPassedTheGate() throws {
    let gate = RangeGate(minimumBlock: 512)
    let mailbox = try Mailbox()
    let caller = gate.hold(0..<10)
    #expect(!gate.blocksAnew(20..<30, waking: mailbox))
    #expect(gate.blocks(20..<30))
    let connection = gate.hold([512..<522])
    #expect(gate.blocksAnew(600..<610, waking: mailbox))
    gate.release(caller)
    gate.release(connection)
    #expect(gate.isEmpty)
    #expect(mailbox.takeGateChange())
  }
}
