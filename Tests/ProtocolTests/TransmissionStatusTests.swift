import Testing

@testable import NBDProtocol

/// Block status replies.
@Suite struct TransmissionStatusTests {
  private func status(
    _ form: ChunkForm, _ flags: CommandFlags = [], contexts: [UInt32] = [7], sourceLocation: SourceLocation = #_sourceLocation,
    reply: (SeenRequest) -> [UInt8]
  ) -> SessionResult {
    exchange(.chunked(form, contexts: contexts), [.status(4096, 8192, flags)], sourceLocation: sourceLocation) { reply($0[0]) }
  }

  private func expectBroken(_ result: SessionResult, _ what: String = "", _ location: SourceLocation = #_sourceLocation) {
    #expect(result.violation != nil && result.outcome == nil, "\(what)", sourceLocation: location)
  }

  // MC-059, MC-060: fewer bytes than asked for, equal neighbours
  @Test(arguments: ChunkForm.allCases) func extentsFollowOneAnotherFromTheRequestsStart(form: ChunkForm) {
    let result = status(form) { form.status($0, context: 7, [(512, 3), (512, 3), (1024, 0)]) }
    #expect(
      result.extents[0] == [
        [
          Extent(offset: 4096, length: 512, status: 3), Extent(offset: 4608, length: 512, status: 3),
          Extent(offset: 5120, length: 1024, status: 0),
        ]
      ])
  }

  // MC-061, RB-039
  @Test(arguments: ChunkForm.allCases) func theLastExtentIsCutToTheRequest(form: ChunkForm) {
    let lengths: [UInt64] = form == .structured ? [8192, 8193, 0xffff_ffff] : [8192, 1 << 40, .max, .max - 4095]
    for length in lengths {
      let whole = status(form) { form.status($0, context: 7, [(length, 1)]) }
      #expect(whole.extents[0] == [[Extent(offset: 4096, length: 8192, status: 1)]], "\(length)")
      let second = status(form) { form.status($0, context: 7, [(4096, 0), (length, 1)]) }
      #expect(second.extents[0]?.first?.last == Extent(offset: 8192, length: 4096, status: 1), "\(length)")
    }
  }

  // MC-058: unknown bits pass through to whoever knows them
  @Test func statusBitsAreKept() {
    let result = status(.extended) { ChunkForm.extended.status($0, context: 7, [(512, 0xffff_ffff_ffff_fffe)]) }
    #expect(result.extents[0]?.first?.first?.status == 0xffff_ffff_ffff_fffe)
  }

  // MC-057: ids are opaque, and chunks of contexts come in any order
  @Test(arguments: ChunkForm.allCases) func contextsAreFoundByTheirNumbers(form: ChunkForm) {
    let result = status(form, contexts: [0, 0xffff_ffff, 5]) {
      form.status($0, context: 5, [(512, 5)], done: false) + form.status($0, context: 0, [(512, 1)], done: false)
        + form.status($0, context: 0xffff_ffff, [(512, 2)], done: false) + form.done($0)
    }
    #expect(result.extents[0]?.map { $0.map(\.status) } == [[1], [2], [5]])
  }

  // RB-034
  @Test(arguments: ChunkForm.allCases) func anUnknownContextEndsTheConnection(form: ChunkForm) {
    expectBroken(status(form) { form.status($0, context: 8, [(512, 0)]) })
  }

  // RB-035, EH-034
  @Test(arguments: ChunkForm.allCases) func chunksOfTheWrongSizeEndTheConnection(form: ChunkForm) {
    let type = form.statusType
    for count in [0, 3, 4, 8, 11, 13, 23, 25, 0xffff_ffff] as [UInt64]
    where !(form == .structured && count == 12) && !(form == .extended && count == 24) {
      let result = status(form) { form.chunk($0, type, length: count, be32(7) + be32(512) + zeros(40)) }
      expectBroken(result, "\(count)")
    }
  }

  // RB-035
  @Test(arguments: ChunkForm.allCases) func anExtentOfNoLengthEndsTheConnection(form: ChunkForm) {
    expectBroken(status(form) { form.status($0, context: 7, [(0, 0)]) })
    expectBroken(status(form) { form.status($0, context: 7, [(512, 0), (0, 0)]) })
  }

  // RB-036
  @Test(arguments: ChunkForm.allCases) func eachContextIsAnsweredOnce(form: ChunkForm) {
    expectBroken(
      status(form) { form.status($0, context: 7, [(512, 0)], done: false) + form.status($0, context: 7, [(512, 0)]) }, "twice")
    expectBroken(status(form) { form.done($0) }, "never")
    expectBroken(status(form, contexts: [7, 8]) { form.status($0, context: 7, [(512, 0)]) }, "one of two")
  }

  // RB-037
  @Test(arguments: ChunkForm.allCases) func requestOneMeansOneExtentInsideTheRequest(form: ChunkForm) {
    let good = status(form, .requestOne) { form.status($0, context: 7, [(8192, 0)]) }
    #expect(good.outcome == .success)
    expectBroken(status(form, .requestOne) { form.status($0, context: 7, [(512, 0), (512, 1)]) }, "two")
    expectBroken(status(form, .requestOne) { form.status($0, context: 7, [(8193, 0)]) }, "longer")
  }

  // RB-038
  @Test(arguments: ChunkForm.allCases) func extentsAfterTheRequestsEndEndTheConnection(form: ChunkForm) {
    expectBroken(status(form) { form.status($0, context: 7, [(8192, 0), (512, 1)]) })
  }

  // EH-034
  @Test func theOtherFormsChunkTypeEndsTheConnection() {
    expectBroken(status(.structured) { ChunkForm.structured.chunk($0, 6, be32(7) + be32(1) + be64(512) + be64(0)) })
    expectBroken(status(.extended) { ChunkForm.extended.chunk($0, 5, be32(7) + be32(512) + be32(0)) })
    for count in [0, 2, 0xffff_ffff] as [UInt32] {
      let wrong = be32(7) + be32(count) + be64(512) + be64(0)
      expectBroken(status(.extended) { ChunkForm.extended.chunk($0, 6, wrong) }, "count \(count)")
    }
  }

  @Test(arguments: ChunkForm.allCases) func anErrorFailsTheStatusAndLeavesNoExtents(form: ChunkForm) {
    let result = status(form) { form.status($0, context: 7, [(512, 0)], done: false) + form.error($0, 5) }
    #expect(result.outcome == .failed(.ioError) && result.extents[0] == [] && result.violation == nil)
  }

  // Nothing a server sends grows without bound: neither one reply, nor many that it does not finish.
  @Test(arguments: ChunkForm.allCases) func extentsBeyondTheBoundAreDropped(form: ChunkForm) {
    var session = MachineSession(.chunked(form, size: 1 << 40))
    let count = Limits.extentsHeld / 2 + 1
    let extents = form.statusPayload(context: 7, Array(repeating: (512, 0), count: count))
    for _ in 0..<4 { session.submit(.status(0, 1 << 30)) }
    let requests = session.requests()
    for request in requests { session.receive(form.chunk(request, form.statusType, flags: 0, extents)) }
    for request in requests { session.receive(form.done(request)) }
    #expect((0..<4).map { session.extents[$0]?.first?.count } == [count, count - 2, 1, 1])
    #expect(session.extents[1]?.first?.last?.end == UInt64(count - 2) * 512)

    // What was delivered counts no more.
    session.submit(.status(0, 1 << 30))
    session.receive(session.requests().flatMap { form.chunk($0, form.statusType, flags: 1, extents) })
    #expect(session.extents[4]?.first?.count == count)
    #expect(session.violation == nil)
    session.fail()
  }

  // SZ-019: widened to whole blocks; the answer begins there
  @Test func anUnalignedStatusIsWidened() {
    var session = MachineSession(.test(.structured, minimum: 512))
    session.submit(.status(1000, 100))
    let requests = session.requests()
    #expect(requests.map(\.offset) == [512] && requests.map(\.length) == [1024])
    session.receive(ChunkForm.structured.status(requests[0], context: 7, [(1024, 2)]))
    #expect(session.extents[0] == [[Extent(offset: 512, length: 1024, status: 2)]])
  }

  // 64-bit requests, as far as the negotiation allows them
  @Test(arguments: ChunkForm.allCases) func aHugeRangeIsAskedForAsFarAsOneCommandGoes(form: ChunkForm) {
    var session = MachineSession(.chunked(form, size: 1 << 50))
    session.submit(.status(0, 1 << 50))
    #expect(session.requests().map(\.length) == [form == .extended ? 1 << 50 : 0xffff_0000])
    session.fail()
  }
}
