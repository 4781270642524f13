import CLinux
import TestSupport
import Testing

@testable import NBDProtocol

/// What is kept until it is durable (*Reconnect, the exact rules* 7).
struct WriteLogTests {
  private static let capacity = 1 << 20

  private func operation(_ offset: UInt64, _ buffer: GuardedBuffer) -> NBDProtocol.Operation {
    Operation(.write, flags: .fua, offset: offset, length: UInt64(buffer.count), buffer: buffer.start, token: Token(.source, 0))
  }

  private func buffer(_ count: Int, _ byte: UInt8) -> GuardedBuffer {
    let buffer = GuardedBuffer(count)
    buffer.fill([UInt8](repeating: byte, count: count))
    return buffer
  }

  @discardableResult
  private func write(_ log: WriteLog, _ offset: UInt64, _ count: Int, _ byte: UInt8) -> Bool {
    guard log.reserve(UInt64(count), .write) else { return false }
    _ = log.record(operation(offset, buffer(count, byte)))
    return true
  }

  /// What sending all again makes of `size` zeros.
  private func replayed(_ log: WriteLog, size: Int) -> [UInt8] {
    var disk = zeros(size)
    log.forEach { entry in
      #expect(!entry.flags.contains(.fua), "a flush follows")
      let range = Int(entry.offset)..<Int(entry.offset + entry.length)
      disk.replaceSubrange(
        range,
        with: entry.payload.map { Array(UnsafeRawBufferPointer(start: $0, count: range.count)) } ?? zeros(range.count))
    }
    return disk
  }

  @Test func whatIsRecordedComesAgainInOrderUntilItIsFlushed() throws {
    let log = try WriteLog(capacity: Self.capacity)
    #expect(log.isEmpty)
    write(log, 0, 1000, 1)
    write(log, 500, 1000, 2)
    let cut = log.position
    write(log, 700, 100, 3)
    #expect(log.reserve(50, .writeZeroes))
    _ = log.record(Operation(.writeZeroes, flags: [.noHole, .fastZero], offset: 720, length: 50, token: Token(.source, 0)))
    let disk = replayed(log, size: 2000)
    #expect(disk[499] == 1 && disk[500] == 2 && disk[700] == 3 && disk[720] == 0 && disk[770] == 3 && disk[800] == 2)
    log.flushed(upTo: cut)
    #expect(replayed(log, size: 2000)[0] == 0 && replayed(log, size: 2000)[700] == 3)
    log.flushed(upTo: log.position)
    #expect(log.isEmpty)
  }

  // It never overflows: what finds no room waits for a flush, and is told when there is some.
  @Test func aFullLogTakesNothingMoreBeforeAFlush() throws {
    let log = try WriteLog(capacity: Self.capacity)
    var count = 0
    while write(log, UInt64(count) * 100_000, 100_000, 1) { count += 1 }
    #expect(count == Self.capacity / 100_000)
    #expect(log.wantsFlush && !log.reserve(200_000, .write))
    let cut = log.position
    log.flushed(upTo: cut)
    #expect(log.takeRoomNews() && !log.takeRoomNews())
    #expect(log.isEmpty && log.reserve(100_000, .write))
  }

  @Test func smallWritesAreBoundedInNumberToo() throws {
    let log = try WriteLog(capacity: Self.capacity)
    var count = 0
    while write(log, UInt64(count), 1, 1) { count += 1 }
    #expect(count == Self.capacity / 4096)
  }

  @Test func halfFullIsAReasonToFlush() throws {
    let log = try WriteLog(capacity: Self.capacity)
    write(log, 0, Self.capacity / 2, 1)
    #expect(!log.wantsFlush)
    write(log, 0, 4096, 1)
    #expect(log.wantsFlush)
  }

  @Test func whatWasNotCarriedOutGivesItsRoomBack() throws {
    let log = try WriteLog(capacity: Self.capacity)
    for _ in 0..<100 {
      #expect(log.reserve(500_000, .write))
      log.unreserve(500_000, .write)
    }
    #expect(log.isEmpty)
  }

  // Payloads go around the end of the ring, of every size, and come out as they went in.
  @Test(arguments: 1...4 as ClosedRange<UInt64>) func itIsARing(seed: UInt64) throws {
    var random = SeededGenerator(seed)
    let log = try WriteLog(capacity: Self.capacity)
    let size = 4 << 20
    var model = zeros(size)
    var durable = zeros(size)
    for step in 0..<2000 {
      let count = Int.random(in: 1...(step % 7 == 0 ? 400_000 : 9000), using: &random)
      let offset = Int.random(in: 0...(size - count), using: &random)
      if !write(log, UInt64(offset), count, UInt8(truncatingIfNeeded: step)) {
        log.flushed(upTo: log.position)
        durable = model
        #expect(write(log, UInt64(offset), count, UInt8(truncatingIfNeeded: step)))
      }
      model.replaceSubrange(offset..<offset + count, with: [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: count))
    }
    log.forEach { entry in
      guard let payload = entry.payload else { return }
      let bytes = [UInt8](UnsafeRawBufferPointer(start: payload, count: Int(entry.length)))
      durable.replaceSubrange(Int(entry.offset)..<Int(entry.offset + entry.length), with: bytes)
    }
    #expect(durable == model)
  }

  /// Small payloads, large ones in buffers of the log's own, large ones elsewhere; flushed in part, at any time: the buffers never
  /// run out, no borrower's buffer is another's, and what was not flushed is there.
  @Test(arguments: 1...4 as ClosedRange<UInt64>) func lentBuffersAreKeptAndReplaced(seed: UInt64) throws {
    var random = SeededGenerator(seed)
    let log = try WriteLog(capacity: 4 << 20)
    var borrowed = (0..<5).compactMap { _ in log.lend() }
    var model = zeros(4 << 20)
    var cuts: [UInt64] = []
    var kept = 0
    for step in 0..<3000 {
      let byte = UInt8(truncatingIfNeeded: step)
      let isLarge = step % 5 == 0
      let count = Int.random(in: isLarge ? 400_000...(1 << 20) : 1...70_000, using: &random)
      let offset = Int.random(in: 0...(model.count - count), using: &random)
      while !log.reserve(UInt64(count), .write) { log.flushed(upTo: log.position) }
      let index = Int.random(in: borrowed.indices, using: &random)
      let own = buffer(count, byte)
      let isLent = isLarge && step % 3 != 0
      if isLent { borrowed[index].initializeMemory(as: UInt8.self, repeating: byte, count: count) }
      let write = Operation(
        .write, offset: UInt64(offset), length: UInt64(count), buffer: isLent ? borrowed[index] : own.start,
        token: Token(.source, 0))
      if let other = log.record(write) {
        #expect(isLent && count > WriteLog.largestKept / 2 && !borrowed.contains(other))
        borrowed[index] = other
        kept += 1
      } else {
        #expect(!isLent || count <= WriteLog.largestKept / 2)
      }
      // The borrower's again, whatever was in it.
      borrowed[index].initializeMemory(as: UInt8.self, repeating: 0xee, count: 1000)
      model.replaceSubrange(offset..<offset + count, with: [UInt8](repeating: byte, count: count))
      cuts.append(log.position)
      if step % 11 == 0 { log.flushed(upTo: cuts[Int.random(in: cuts.indices, using: &random)]) }
      if step % 250 == 0 { try expectTheNewestIsThere(log, model) }
    }
    #expect(kept > 200)
    #expect((0..<100).filter { _ in log.lend() != nil }.count == 64 - 5, "as many as are for that")
  }

  /// What is in the log, written over what was flushed: each byte of it that is the newest is the model's.
  private func expectTheNewestIsThere(_ log: WriteLog, _ model: [UInt8]) throws {
    var disk = model
    log.forEach { entry in
      guard let payload = entry.payload else { return }
      disk.withUnsafeMutableBytes {
        $0.baseAddress?.advanced(by: Int(entry.offset)).copyMemory(from: payload, byteCount: Int(entry.length))
      }
    }
    #expect(disk == model)
  }

  @Test func copiesPastTheCachesAreWholeAtAnyPlace() {
    let source = buffer(300, 0)
    source.fill((0..<300).map { UInt8(truncatingIfNeeded: $0 * 7) })
    for start in 0..<33 {
      for count in [0, 1, 7, 15, 16, 17, 31, 32, 33, 64, 200] {
        var target = [UInt8](repeating: 0xaa, count: 300)
        target.withUnsafeMutableBytes { clinux_copy_uncached($0.baseAddress?.advanced(by: start), source.start + start / 2, count) }
        let expected =
          [UInt8](repeating: 0xaa, count: start) + (0..<count).map { UInt8(truncatingIfNeeded: ($0 + start / 2) * 7) }
          + [UInt8](repeating: 0xaa, count: 300 - start - count)
        #expect(target == expected, "\(count) bytes at \(start)")
      }
    }
  }

  // MARK: In the machine

  private func session(_ log: WriteLog, _ export: Export) -> MachineSession {
    MachineSession(export, log: log)
  }

  @Test(arguments: [1, 512] as [UInt32]) func answeredWritesAreRecordedAndAFlushThatWasSentLaterDropsThem(block: UInt32) throws {
    let export = Export.test(.simple, minimum: block)
    let log = try WriteLog(capacity: Self.capacity)
    var server = ModelServer(export, contents: zeros(1 << 20))
    var session = session(log, export)
    session.submit(.write(1000, pattern(700)))
    session.submit(.flush)
    #expect(log.isEmpty, "not answered")
    while session.outcomes.contains(where: \.isEmpty) {
      for request in session.requests() { session.receive(server.execute(request)) }
    }
    #expect(session.outcomes == [[.success], [.success]])
    #expect(Array(replayed(log, size: 4096)[1000..<1700]) == pattern(700), "the flush was sent before the answer")
    session.submit(.flush)
    for request in session.requests() { session.receive(server.execute(request)) }
    #expect(log.isEmpty)
    session.fail()
  }

  @Test func aFailedWriteIsNotRecordedAndAFailedFlushLosesWhatItCovers() throws {
    let log = try WriteLog(capacity: Self.capacity)
    var session = session(log, .test(.simple))
    session.submit(.write(0, pattern(512)))
    session.receive(Reply.simple(session.requests()[0].handle, error: 5))
    #expect(log.isEmpty)
    session.submit(.write(0, pattern(512)))
    session.receive(Reply.simple(session.requests()[0].handle))
    #expect(!log.isEmpty)
    session.submit(.flush)
    session.receive(Reply.simple(session.requests()[0].handle, error: 5))
    #expect(log.isEmpty && session.outcomes.last == [.failed(.ioError)])
    session.fail()
  }

  @Test func aFlushThatSucceedsDoesNotHideWhatTheLogHasLost() throws {
    let log = try WriteLog(capacity: Self.capacity)
    var session = session(log, .test(.simple))
    log.lose()
    for expected in [Outcome.failed(.ioError), .success] {
      session.submit(.flush)
      session.receive(Reply.simple(session.requests()[0].handle))
      #expect(session.outcomes.last == [expected])
    }
    session.fail()
  }

  /// A server tells of a failure once. Where that was our own flush, the next one that somebody asks for has to fail, though the
  /// server says that it was well, and though its answer has come before anybody was woken.
  @Test func aFailedFlushOfOurOwnFailsTheOneThatWaitedForIt() throws {
    let log = try WriteLog(capacity: Self.capacity)
    var session = session(log, .test(.simple))
    session.submit(.write(0, pattern(512)))
    session.receive(Reply.simple(session.requests()[0].handle))
    session.submit(.flushForLog)
    session.submit(.flush)
    // One flush at a time, of an export.
    let own = session.requests()
    try #require(own.count == 1)
    session.receive(Reply.simple(own[0].handle, error: 5))
    session.receive(Reply.simple(session.requests()[0].handle))
    #expect(session.outcomes.suffix(2) == [[.failed(.ioError)], [.failed(.ioError)]])
    // And none of ours takes the news from those who ask.
    log.lose()
    session.submit(.flushForLog)
    session.receive(Reply.simple(session.requests()[0].handle))
    session.submit(.flush)
    session.receive(Reply.simple(session.requests()[0].handle))
    #expect(session.outcomes.suffix(2) == [[.success], [.failed(.ioError)]])
    session.fail()
  }

  @Test func aWriteThatIsTooLargeForTheLogIsFlushed() throws {
    let log = try WriteLog(capacity: Self.capacity)
    var session = session(log, .test(.simple, size: 4 << 20))
    session.submit(.write(0, zeros(Self.capacity / 2 + 1)))
    let write = session.requests()
    #expect(write.map(\.command) == [SeenRequest.write])
    session.receive(Reply.simple(write[0].handle))
    let flush = session.requests()
    #expect(flush.map(\.command) == [SeenRequest.flush] && session.outcomes == [[]])
    session.receive(Reply.simple(flush[0].handle))
    #expect(session.outcomes == [[.success]] && log.isEmpty)
    session.fail()
  }

  @Test func theEndOfAConnectionGivesTheRoomOfItsWritesBack() throws {
    let log = try WriteLog(capacity: Self.capacity)
    for round in 0..<10 {
      var session = session(log, .test(.simple, minimum: round % 2 == 0 ? 1 : 512))
      for _ in 0..<3 { #expect(session.submit(.write(0, zeros(300_000))) != nil) }
      #expect(session.submit(.write(0, zeros(300_000))) == nil)
      session.fail()
    }
  }
}
