import TestSupport
import Testing

@testable import NBDProtocol

/// Operations that take several commands.
@Suite struct TransmissionTransferTests {
  /// Runs `asks` together against a server in memory that answers at random, and returns what it then holds.
  private func run(
    _ export: Export, _ asks: [Ask], seed: UInt64 = 1, contents: [UInt8]? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) -> (contents: [UInt8], data: [Int: [UInt8]], durable: [UInt8]) {
    var generator = SeededGenerator(seed)
    var server = ModelServer(export, contents: contents ?? pattern(Int(export.size)))
    var session = MachineSession(export, isBufferless: seed % 2 == 0)
    var pending: [SeenRequest] = []
    for ask in asks {
      #expect(throws: Never.self, sourceLocation: sourceLocation) {
        try export.check(.unsent(ask.command, flags: ask.flags, offset: ask.offset, length: ask.length))
      }
      session.submit(ask)
    }
    while true {
      pending += session.requests()
      guard let index = pending.indices.randomElement(using: &generator) else { break }
      session.receive(server.execute(pending.remove(at: index)))
    }
    #expect(session.outcomes.allSatisfy { $0 == [.success] }, "\(session.outcomes)", sourceLocation: sourceLocation)
    #expect(session.violation == nil && session.machine.isIdle, sourceLocation: sourceLocation)
    return (server.contents, session.data, server.durable)
  }

  // SZ-019: all alignments of both ends, in exports of whole blocks and with a tail
  @Test(arguments: [512, 4096] as [UInt32], [0, 100] as [UInt64]) func everyAlignmentReadsAndWritesExactly(
    block: UInt32, tail: UInt64
  ) {
    let unit = UInt64(block)
    let export = Export.test(.simple, size: 3 * unit + tail, minimum: block)
    let original = pattern(Int(export.size), from: 99)
    let ends: [UInt64] = [0, 1, unit - 1, unit, unit + 1, 2 * unit - 1, 2 * unit, 2 * unit + 1, 3 * unit - 1, 3 * unit]
    for start in ends {
      for end in ends where end > start {
        let range = Int(start)..<Int(end)
        let payload = [UInt8](repeating: 0xee, count: range.count)
        var written = original
        written.replaceSubrange(range, with: payload)
        let write = run(export, [.write(start, payload)], contents: original)
        #expect(write.contents == written, "write \(range)")
        let read = run(export, [.read(start, end - start)], seed: start, contents: original)
        #expect(read.data[0] == Array(original[range]), "read \(range)")
        written.replaceSubrange(range, with: zeros(range.count))
        let zero = run(
          export, [Ask(command: .writeZeroes, offset: start, length: end - start)], contents: original)
        #expect(zero.contents == written, "zero \(range)")
        let hints = run(
          export,
          [
            Ask(command: .trim, offset: start, length: end - start),
            Ask(command: .cache, offset: start, length: end - start),
          ], contents: original)
        #expect(hints.contents == original)
      }
    }
  }

  // SZ-026
  @Test func theTailBeyondTheLastBlockIsALocalError() {
    let export = Export.test(.structured, size: 4096 + 100, minimum: 512)
    for (command, offset, length) in [
      (Command.read, 4096, 100), (.read, 4095, 2), (.write, 4000, 196), (.writeZeroes, 0, 4196), (.trim, 4096, 1),
      (.blockStatus, 4096, 100), (.cache, 4196, 0),
    ] as [(Command, UInt64, UInt64)] where length > 0 {
      #expect(throws: NBDError.self, "\(command) at \(offset)") {
        try export.check(.unsent(command, offset: offset, length: length))
      }
    }
    // Hints and questions that begin before it are cut.
    for command in [Command.trim, .cache, .blockStatus] {
      var session = MachineSession(export)
      session.submit(Ask(command: command, offset: 0, length: 4196))
      #expect(session.requests().map(\.length) == [4096], "\(command)")
      session.fail()
    }
  }

  // TX-094: a trim leaves the blocks alone that it covers in part
  @Test func trimKeepsToWholeBlocks() {
    var session = MachineSession(.test(.simple, minimum: 4096))
    session.submit(Ask(command: .trim, offset: 4097, length: 3 * 4096))
    let requests = session.requests()
    #expect(requests.map(\.offset) == [8192] && requests.map(\.length) == [8192])
    session.submit(Ask(command: .trim, offset: 1, length: 8190))
    #expect(session.outcomes[1] == [.success], "nothing to send")
    session.fail()
  }

  // A cache hint above 4 GiB once took the path that zeroes the blocks at its ends.
  @Test func cacheNeverWrites() {
    var session = MachineSession(.test(.simple, size: 1 << 40, minimum: 512))
    session.submit(Ask(command: .cache, offset: 100, length: 5 << 30))
    var requests: [SeenRequest] = []
    while session.outcomes[0].isEmpty {
      let more = session.requests()
      guard !more.isEmpty else { break }
      requests += more
      for request in more { session.receive(Reply.simple(request.handle) + (request.command == 0 ? zeros(512) : [])) }
    }
    #expect(requests.allSatisfy { $0.command == SeenRequest.cache && $0.offset % 512 == 0 && $0.length % 512 == 0 })
    #expect(requests.first?.offset == 0 && requests.last?.end == 5 << 30 + 512)
    #expect(session.outcomes == [[.success]])
  }

  // FUA by a flush that follows, and only after all parts were answered
  @Test(arguments: [1, 512] as [UInt32]) func emulatedFUAFlushesAfterTheData(block: UInt32) throws {
    for ask in [
      Ask.write(100, pattern(2000), .fua), Ask(command: .writeZeroes, flags: .fua, offset: 100, length: 2000),
      Ask(command: .trim, flags: .fua, offset: 0, length: 4096),
    ] {
      let export = Export.test(
        .simple, size: 1 << 16, flags: TransmissionFlags.everything.subtracting(.sendFUA), minimum: block, maximum: 1024)
      let result = run(export, [ask], seed: 3)
      #expect(result.durable == result.contents)
      var session = MachineSession(export)
      session.submit(ask)
      var server = ModelServer(export, contents: pattern(1 << 16))
      while session.outcomes[0].isEmpty {
        let requests = session.requests()
        try #require(!requests.isEmpty)
        if requests.contains(where: { $0.command == SeenRequest.flush }) { #expect(requests.count == 1) }
        for request in requests { session.receive(server.execute(request)) }
      }
      #expect(session.outcomes[0] == [.success])
    }
  }

  // Zeros are written where the server cannot make them
  @Test(arguments: [1, 512, 4096] as [UInt32]) func emulatedZeroesCoverTheWholeRange(block: UInt32) {
    let export = Export.test(
      .simple, size: 3 << 20, flags: TransmissionFlags.everything.subtracting([.sendWriteZeroes, .sendFastZero]),
      minimum: block, maximum: 1 << 19)
    let result = run(export, [Ask(command: .writeZeroes, flags: .noHole, offset: 1001, length: 2_500_001)])
    var expected = pattern(3 << 20)
    expected.replaceSubrange(1001..<2_501_002, with: zeros(2_500_001))
    #expect(result.contents == expected)
  }

  // The first failure is the operation's, and the other parts are waited for
  @Test func aFailedPartFailsTheTransferOnce() throws {
    var session = MachineSession(.test(.simple, maximum: 4096))
    session.submit(.write(0, pattern(40960)))
    let requests = session.requests()
    #expect(requests.count == 10)
    session.receive(Reply.simple(requests[3].handle, error: 28))
    session.receive(Reply.simple(requests[4].handle, error: 5))
    for request in requests where request != requests[3] && request != requests[4] {
      #expect(session.outcomes[0] == [])
      session.receive(Reply.simple(request.handle))
    }
    #expect(session.outcomes == [[.failed(.noSpace)]] && session.machine.isIdle)
  }

  // A failed edge read must not be followed by writing the edge back
  @Test func aFailedEdgeIsNotWrittenBack() {
    var session = MachineSession(.test(.simple, minimum: 512))
    session.submit(.write(1, pattern(10)))
    let read = session.requests()
    #expect(read.map(\.command) == [SeenRequest.read])
    session.receive(Reply.simple(read[0].handle, error: 5))
    #expect(session.requests() == [] && session.outcomes == [[.failed(.ioError)]])
  }

  // Overlapping writes keep the order in which they were submitted. Those that only share a block wait for each other, too.
  @Test(arguments: [100, 300]) func neighboursInOneBlockDoNotOverwriteEachOther(length: Int) {
    for seed in 0..<30 as Range<UInt64> {
      let export = Export.test(.structured, size: 1 << 16, minimum: 4096)
      var expected = pattern(1 << 16)
      let asks = (0..<16).map { number in
        let payload = [UInt8](repeating: UInt8(number + 1), count: length)
        expected.replaceSubrange((number * 256)..<(number * 256 + length), with: payload)
        return Ask.write(UInt64(number * 256), payload)
      }
      #expect(run(export, asks, seed: seed).contents == expected, "seed \(seed)")
    }
  }

  // A transfer that found the table full once waited for a send that never came.
  @Test func aStalledTransferGoesOnAfterReplies() {
    var session = MachineSession(.test(.simple, maximum: 4096))
    var requests: [SeenRequest] = []
    while session.submit(.read(0, 8)) != nil { requests += session.requests() }
    #expect(requests.count == 1024)
    session.submit(.write(0, pattern(16384)))
    #expect(session.requests() == [])
    for request in requests { session.receive(Reply.simple(request.handle, zeros(8))) }
    let parts = session.requests()
    #expect(parts.count == 4)
    for part in parts { session.receive(Reply.simple(part.handle)) }
    #expect(session.outcomes.last == [.success] && session.machine.isIdle)
  }

  // A stalled transfer that fails must not be taken for the one that has its place later.
  @Test func aFailedStalledTransferLeavesNothingBehind() {
    var session = MachineSession(.test(.simple, minimum: 512, maximum: 4096))
    var fill: [SeenRequest] = []
    // One slot is left for the first part of a write.
    for _ in 0..<1023 {
      session.submit(.read(0, 512))
      fill += session.requests()
    }
    let first = session.submit(.write(0, pattern(8192)))
    let part = session.requests()
    #expect(part.count == 1)
    session.receive(Reply.simple(part[0].handle, error: 5))
    // Fills the free slot, so that the next ones stall or wait.
    session.submit(.flush)
    let flush = session.requests()
    let second = session.submit(.write(16384, pattern(512)))
    let third = session.submit(.write(16384, pattern(512, from: 9)))
    session.receive(Reply.simple(fill[0].handle, zeros(512)))
    #expect(session.outcomes[first ?? 0] == [.failed(.ioError)])
    #expect(session.outcomes[second ?? 0] == [] && session.outcomes[third ?? 0] == [])
    for request in flush + session.requests() { session.receive(Reply.simple(request.handle)) }
    for request in session.requests() { session.receive(Reply.simple(request.handle)) }
    #expect(session.outcomes[second ?? 0] == [.success] && session.outcomes[third ?? 0] == [.success])
    session.fail()
    #expect(session.outcomes.allSatisfy { $0.count == 1 })
  }

  // A read without a buffer that has to be split asks for one
  @Test(arguments: [1, 512] as [UInt32]) func aSplitReadWithoutABufferDeliversItsData(block: UInt32) {
    let export = Export.test(.structured, size: 1 << 20, minimum: block, maximum: 8192)
    let result = run(export, [.read(1000, 50_000), .read(513, 1)], seed: 2)
    #expect(result.data[0] == Array(pattern(1 << 20)[1000..<51_000]))
    #expect(result.data[1] == Array(pattern(1 << 20)[513...513]))
  }
}
