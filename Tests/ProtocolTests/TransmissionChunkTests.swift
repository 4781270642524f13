import TestSupport
import Testing

@testable import NBDProtocol

/// Reads that are answered in chunks, structured or extended.
@Suite struct TransmissionChunkTests {
  /// What one read of 64 bytes at 4096 comes to.
  private func read(
    _ form: ChunkForm, _ flags: CommandFlags = [], sourceLocation: SourceLocation = #_sourceLocation,
    reply: (SeenRequest) -> [UInt8]
  ) -> SessionResult {
    exchange(.chunked(form), [.read(4096, 64, flags)], sourceLocation: sourceLocation) { reply($0[0]) }
  }

  private func expectBroken(_ result: SessionResult, _ what: String = "", _ location: SourceLocation = #_sourceLocation) {
    #expect(result.violation != nil && result.outcome == nil, "\(what)", sourceLocation: location)
  }

  // RB-068
  @Test(arguments: ChunkForm.allCases) func chunksInAnyOrderFormTheRead(form: ChunkForm) {
    var generator = SeededGenerator(1)
    for round in 0..<20 {
      var expected = pattern(64)
      // Cut into pieces of random sizes, some of them holes, and shuffled.
      var pieces: [(start: Int, count: Int, isHole: Bool)] = []
      var start = 0
      while start < 64 {
        let count = min(64 - start, Int.random(in: 1...(round % 4 == 0 ? 1 : 20), using: &generator))
        pieces.append((start, count, Bool.random(using: &generator)))
        start += count
      }
      for piece in pieces where piece.isHole {
        expected.replaceSubrange(piece.start..<(piece.start + piece.count), with: zeros(piece.count))
      }
      pieces.shuffle(using: &generator)
      let isDoneApart = round % 2 == 0
      let result = exchange(.chunked(form), [.read(4096, 64)], everyCut: round < 2) { requests in
        var bytes: [UInt8] = []
        for (number, piece) in pieces.enumerated() {
          let isLast = number == pieces.count - 1 && !isDoneApart
          let at = 4096 + UInt64(piece.start)
          bytes +=
            piece.isHole
            ? form.hole(requests[0], at: at, UInt32(piece.count), done: isLast)
            : form.data(requests[0], at: at, Array(pattern(64)[piece.start..<(piece.start + piece.count)]), done: isLast)
        }
        return bytes + (isDoneApart ? form.done(requests[0]) : [])
      }
      #expect(result.data[0] == expected && result.violation == nil, "round \(round)")
    }
  }

  // RB-065, RB-070: offset {before, -1, 2^63, len-1, len+1, ...} x length {0, 1, n+1, 2^32-1}
  @Test(arguments: ChunkForm.allCases) func contentOutsideTheReadEndsTheConnection(form: ChunkForm) {
    let offsets: [UInt64] = [.max, 1 << 63, 0, 4095, 4096 + 63, 4096 + 64, 4096 + 65, 1 << 20, .max - 63, 4096 &+ .max - 4095]
    for offset in offsets {
      for length in [1, 65, UInt32.max] {
        let isInside = offset == 4096 + 63 && length == 1
        let hole = read(form) { form.hole($0, at: offset, length) }
        #expect((hole.violation == nil) == isInside, "hole at \(offset) for \(length)")
        #expect(hole.outcome == nil)
        // The announced length alone must do; its bytes need not come.
        let data = read(form) {
          form.chunk($0, ChunkForm.offsetData, flags: 0, length: 8 + UInt64(length), be64(offset) + zeros(100))
        }
        #expect((data.violation == nil) == isInside || isInside, "data at \(offset) for \(length)")
      }
    }
    for length in [0, 65, UInt32.max] {
      expectBroken(read(form) { form.hole($0, at: 4096, length) }, "hole of \(length)")
    }
  }

  // RB-069, RB-070, RB-077
  @Test(arguments: ChunkForm.allCases) func contentChunksOfTheWrongSizeEndTheConnection(form: ChunkForm) {
    for length in [0, 1, 7, 8, 73, 0xffff_ffff] as [UInt64] {
      let result = read(form) { form.chunk($0, ChunkForm.offsetData, length: length, be64(4096) + zeros(65)) }
      expectBroken(result, "data of \(length)")
    }
    for length in [0, 8, 11, 13, 0xffff_ffff] as [UInt64] {
      let result = read(form) { form.chunk($0, ChunkForm.offsetHole, length: length, be64(4096) + be32(64) + zeros(1)) }
      expectBroken(result, "hole of \(length)")
    }
  }

  // EH-033
  @Test(arguments: [1 << 32, 1 << 40, 1 << 63, UInt64.max, .max - 7] as [UInt64]) func anEnormousExtendedChunkIsRefused(
    length: UInt64
  ) {
    for type in [0, 1, 2, 5, 6, 0x8001, 0x8002, 0x8003] as [UInt16] {
      let result = read(.extended) { ChunkForm.extended.chunk($0, type, length: length, be64(4096) + zeros(32)) }
      expectBroken(result, "type \(type)")
    }
  }

  // EH-033
  @Test(arguments: [0, 4095, 4097, UInt64.max] as [UInt64]) func anExtendedReplyRepeatsTheOffset(offset: UInt64) {
    let result = read(.extended) { Reply.extended($0.handle, offset: offset, type: 0x8001, be32(5) + be16(0)) }
    expectBroken(result)
  }

  // RB-066: also what a byte count would not notice
  @Test(arguments: ChunkForm.allCases) func overlappingChunksEndTheConnection(form: ChunkForm) {
    let overlaps: [(UInt64, Int)] = [(0, 32), (0, 1), (31, 1), (16, 8), (31, 2), (0, 64), (16, 48)]
    for (start, count) in overlaps {
      let result = read(form) {
        form.data($0, at: 4096, zeros(32)) + form.data($0, at: 4096 + start, zeros(count)) + form.done($0)
      }
      expectBroken(result, "\(start) for \(count)")
    }
    // Byte 0 twice and byte 1 never.
    let twice = exchange(.chunked(form), [.read(0, 2)]) {
      form.data($0[0], at: 0, [1]) + form.data($0[0], at: 0, [1]) + form.done($0[0])
    }
    expectBroken(twice)
    let backwards = read(form) {
      form.data($0, at: 4096 + 32, zeros(32)) + form.hole($0, at: 4096 + 31, 2) + form.done($0)
    }
    expectBroken(backwards, "over the start of an earlier one")
  }

  // RB-067, RB-082
  @Test(arguments: ChunkForm.allCases) func missingBytesAreNotInvented(form: ChunkForm) {
    expectBroken(read(form) { form.done($0) }, "nothing")
    expectBroken(read(form) { form.data($0, at: 4096, zeros(63), done: true) }, "the last byte")
    expectBroken(read(form) { form.data($0, at: 4097, zeros(63), done: true) }, "the first byte")
    expectBroken(
      read(form) { form.data($0, at: 4096, zeros(31)) + form.hole($0, at: 4096 + 32, 32) + form.done($0) }, "the middle")
    expectBroken(read(form) { form.hole($0, at: 4096, 63, done: true) }, "after a hole")
  }

  // RB-080
  @Test(arguments: ChunkForm.allCases) func withoutDoneTheReadIsNotComplete(form: ChunkForm) {
    let result = read(form) { form.data($0, at: 4096, zeros(32)) + form.data($0, at: 4096 + 32, zeros(32)) }
    #expect(result.outcome == nil && result.violation == nil)
  }

  // RB-058
  @Test(arguments: [3, 4, 7, 0x7fff] as [UInt16]) func anUnknownChunkTypeEndsTheConnection(type: UInt16) {
    for form in ChunkForm.allCases { expectBroken(read(form) { form.chunk($0, type, zeros(8)) }, "\(form)") }
  }

  // RB-059, EH-034
  @Test(arguments: ChunkForm.allCases) func aChunkTypeOfAnotherCommandEndsTheConnection(form: ChunkForm) {
    for ask in [Ask.write(0, zeros(8)), .flush, .status(0, 512)] {
      for type in [ChunkForm.offsetData, ChunkForm.offsetHole] {
        let payload = be64(0) + (type == ChunkForm.offsetHole ? be32(8) : zeros(8))
        expectBroken(exchange(.chunked(form), [ask]) { form.chunk($0[0], type, payload) }, "\(type) to \(ask.command)")
      }
    }
    for ask in [Ask.read(0, 512), .write(0, zeros(8)), .flush] {
      let result = exchange(.chunked(form), [ask]) { form.status($0[0], context: 7, [(512, 0)]) }
      expectBroken(result, "status to \(ask.command)")
    }
  }

  // RB-063
  @Test(arguments: ChunkForm.allCases) func unknownReplyFlagsAreIgnored(form: ChunkForm) {
    let result = read(form) {
      form.chunk($0, ChunkForm.offsetData, flags: 0xfffe, be64(4096) + pattern(64)) + form.chunk($0, 0, flags: 0xffff)
    }
    #expect(result.data[0] == pattern(64))
  }

  // RB-064
  @Test(arguments: ChunkForm.allCases) func noneIsEmptyAndFinal(form: ChunkForm) {
    for ask in [Ask.flush, .read(0, 8)] {
      expectBroken(exchange(.chunked(form), [ask]) { form.chunk($0[0], 0, flags: 0) }, "not final")
      expectBroken(exchange(.chunked(form), [ask]) { form.chunk($0[0], 0, [0]) }, "not empty")
    }
  }

  // RB-060
  @Test(arguments: [0x8000, 0x8003, 0xbeef, 0xffff] as [UInt16]) func anUnknownErrorTypeIsAnError(type: UInt16) {
    for form in ChunkForm.allCases {
      let result = exchange(.chunked(form), [.read(0, 8), .flush]) {
        form.chunk($0[0], type, join(be32(12), be16(2), ascii("no"), zeros(20))) + form.done($0[1])
      }
      #expect(result.outcomes == [[.failed(.noMemory)], [.success]] && result.violation == nil)
    }
  }

  // RB-061, RB-062
  @Test(arguments: ChunkForm.allCases) func malformedErrorChunksEndTheConnection(form: ChunkForm) {
    let payloads: [(UInt16, [UInt8])] = [
      (0x8001, []), (0x8001, zeros(5)), (0x8001, be32(0) + be16(0)), (0x8001, be32(5) + be16(1)),
      (0x8001, be32(5) + be16(0xffff) + zeros(10)), (0x8002, be32(5) + be16(0)), (0x8002, be32(5) + be16(0) + zeros(7)),
      (0x8002, be32(5) + be16(1) + zeros(8)), (0x8002, be32(0) + be16(0) + be64(4096)), (0x8003, zeros(6)),
    ]
    for (type, payload) in payloads { expectBroken(read(form) { form.chunk($0, type, payload) }, "\(type) \(payload)") }
  }

  /// Of a command without data, nothing else would tell it from a success.
  @Test(arguments: ChunkForm.allCases) func anErrorOfZeroIsNoSuccess(form: ChunkForm) {
    expectBroken(exchange(.chunked(form), [.write(4096, pattern(64))]) { form.error($0[0], 0, "") })
  }

  // RB-081
  @Test(arguments: ChunkForm.allCases) func theErrorTextIsBounded(form: ChunkForm) {
    let longest = read(form) { form.error($0, 5, String(repeating: "\u{1b}", count: 4096)) }
    #expect(longest.outcome == .failed(.ioError) && longest.violation == nil)
    expectBroken(read(form) { form.error($0, 5, String(repeating: "x", count: 4097)) })
    expectBroken(read(form) { form.error($0, 5, String(repeating: "x", count: 65535)) })
  }

  // RB-071
  @Test(arguments: ChunkForm.allCases) func dontFragmentMeansOneContentChunk(form: ChunkForm) {
    let one = read(form, .dontFragment) { form.data($0, at: 4096, pattern(64)) + form.done($0) }
    #expect(one.data[0] == pattern(64))
    let two = read(form, .dontFragment) { form.data($0, at: 4096, zeros(32)) + form.hole($0, at: 4096 + 32, 32) }
    expectBroken(two)
  }

  // RB-072, RB-075
  @Test(arguments: ChunkForm.allCases) func anErrorSpoilsTheWholeRead(form: ChunkForm) {
    let before = read(form) { form.error($0, 5, done: false) + form.data($0, at: 4096, zeros(64), done: true) }
    let after = read(form) { form.data($0, at: 4096, zeros(64)) + form.error($0, 5) }
    let between = read(form) {
      form.data($0, at: 4096, zeros(8)) + form.error($0, 5, done: false) + form.hole($0, at: 4096 + 60, 4)
        + form.error($0, 12, done: false) + form.done($0)
    }
    for result in [before, after, between] {
      #expect(result.outcome == .failed(.ioError) && result.violation == nil && result.data.isEmpty)
    }
  }

  // RB-073, RB-074
  @Test(arguments: ChunkForm.allCases) func anErrorOffsetLiesInTheRequest(form: ChunkForm) {
    let inside = read(form) { form.data($0, at: 4096, zeros(32)) + form.errorOffset($0, 5, at: 4096 + 10) }
    #expect(inside.outcome == .failed(.ioError))
    for offset in [0, 4095, 4096 + 65, UInt64.max, 1 << 63] as [UInt64] {
      expectBroken(read(form) { form.errorOffset($0, 5, at: offset) }, "at \(offset)")
    }
  }

  // RB-078
  @Test(arguments: ChunkForm.allCases) func endlessErrorChunksEndTheConnection(form: ChunkForm) {
    var session = MachineSession(.chunked(form))
    session.submit(.read(0, 8))
    let requests = session.requests()
    for _ in 0..<100 where session.violation == nil { session.receive(form.error(requests[0], 5, done: false)) }
    #expect(session.violation != nil)
    session.fail()
  }

  // RB-078: a read in more fragments than anybody needs is refused before it fills the memory
  @Test(arguments: ChunkForm.allCases) func fragmentsAreBounded(form: ChunkForm) {
    var session = MachineSession(.chunked(form))
    session.submit(.read(0, 1 << 16))
    let requests = session.requests()
    var count: UInt64 = 0
    while session.violation == nil, count < 1 << 15 {
      session.receive(form.hole(requests[0], at: 2 * count, 1))
      count += 1
    }
    #expect(session.violation != nil && count <= UInt64(Limits.readFragments) + 1)
    session.fail()
  }

  // RB-079
  @Test(arguments: ChunkForm.allCases) func interleavedChunksOf64ReadsKeepApart(form: ChunkForm) {
    let asks = (0..<64).map { Ask.read($0 * 1000, 32) }
    let result = exchange(.chunked(form), asks, everyCut: false) { requests in
      var generator = SeededGenerator(7)
      let pieces = (0..<64 * 4).shuffled(using: &generator)
      let bytes = pieces.flatMap { piece in
        let request = requests[piece / 4]
        let start = UInt64(piece % 4) * 8
        return form.data(request, at: request.offset + start, Array(pattern(32, from: request.offset)[Int(start)..<Int(start) + 8]))
      }
      return bytes + requests.shuffled(using: &generator).flatMap { form.done($0) }
    }
    #expect(result.violation == nil && result.data.count == 64)
    for number in 0..<64 { #expect(result.data[number] == pattern(32, from: UInt64(number) * 1000)) }
  }

  @Test(arguments: ChunkForm.allCases) func largeReadsArriveInPlace(form: ChunkForm) {
    let count = 200_000
    let result = exchange(.chunked(form), [.read(0, UInt64(count)), .read(8, 8)], everyCut: false) {
      form.data($0[0], at: 100_000, Array(pattern(count)[100_000...])) + form.data($0[1], at: 8, pattern(8), done: true)
        + form.data($0[0], at: 0, Array(pattern(count)[..<100_000]), done: true)
    }
    #expect(result.data[0] == pattern(count) && result.data[1] == pattern(8) && result.violation == nil)
  }
}
