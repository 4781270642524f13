import NBDProtocol

/// *Structured reply chunk message*, *Structured reply flags*, *Structured reply types*.
extension Suite {
  static let structuredReplies: [Check] = [
    Check("SR-001") { p in
      let session = try p.transmission(.structured)
      for length in p.readLengths.reversed() { _ = try session.request(.read, 0, length) }
      try p.stillReads(session)
    },
    .observed("SR-002") { p in
      let session = try p.transmission(.structured)
      try p.breaking(session) {
        _ = try session.request(.read, flags: CommandFlags(rawValue: 0x8000), 0, p.facts.unit)
        _ = try session.request(.read, p.facts.end, p.facts.unit)
        _ = try session.request(.read, 0, 0)
        _ = try session.request(.read, p.facts.lastUnit, UInt64(UInt32.max))
      }
    },
    .observed("SR-003") { p in _ = try p.allocation().request(.blockStatus, 0, p.facts.unit) },
    Check("SR-004") { p in
      let session = try p.transmission(.structured)
      let unit = p.facts.unit
      try p.need(size: unit)
      var forms: [(String, Reply)] = [("command 99", try session.request(number: 99))]
      forms.append(("NBD_CMD_WRITE", try session.request(.write, 0, unit, payload: Probe.pattern(Int(unit)))))
      if p.facts.has(.sendFlush) { forms.append(("NBD_CMD_FLUSH", try session.request(.flush))) }
      if p.facts.has(.sendTrim) { forms.append(("NBD_CMD_TRIM", try session.request(.trim, 0, unit))) }
      for (name, reply) in forms {
        try p.expect(
          reply.form != .extended && reply.contents.isEmpty, "a simple or structured reply without content to \(name)", "another")
      }
      try p.stillReads(session)
    },
    Check("SR-005") { p in
      let session = try p.transmission(.structured)
      for number: UInt16 in [99, 0x7fff] {
        let reply = try session.request(number: number)
        try p.expect(
          reply.form == .structured, "an error chunk to command \(number), which can have words for people", "a simple reply")
      }
    },
    Check("SR-006") { p in
      let session = try p.transmission(.structured)
      for length in p.readLengths { _ = try session.request(.read, 0, length) }
      try p.expect(session.isQuiet(), "nothing behind the chunk with DONE", "more bytes")
    },
    .observed("SR-007") { p in _ = try p.transmission(.structured).request(.read, 0, p.facts.unit) },
    .observed("SR-008") { p in
      let session = try p.transmission(.structured)
      if p.facts.has(.sendFlush) { _ = try session.request(.flush) }
      for length in p.readLengths { _ = try session.request(.read, 0, length) }
    },
    .observed("SR-009") { p in try p.structuredRead() },
    .observed("SR-010") { p in try p.structuredRead() },
    .observed("SR-016") { p in try p.structuredRead() },
    .observed("SR-028") { p in try p.structuredRead() },
  ]

  static let structuredReads: [Check] = [
    .observed("SR-011") { p in
      let session = try p.transmission(.structured)
      let unit = p.facts.unit
      for offset in [0, 65536 / unit * unit + p.facts.minimum, p.facts.lastUnit] where offset + unit <= p.facts.end {
        _ = try session.request(.read, offset, unit)
      }
      try p.structuredRead()
    },
    .observed("SR-012") { p in try p.structuredRead() },
    .observed("SR-013") { p in try p.structuredRead() },
    Check("SR-014") { p in
      try p.need(.structured)
      try p.need(!p.target.hasServerForEachConnection, "each connection has a server of its own")
      let length = min(p.facts.end, 1 << 20, p.facts.maximum / p.facts.minimum * p.facts.minimum)
      try p.need(length > 0, "the export is empty")
      let offsets = Set([0, p.facts.end - length]).sorted()
      let structured = try p.transmission(.structured)
      let data = try offsets.map { try p.read(structured, $0, Int(length)) }
      let simple = try p.transmission(.simple)
      for (offset, one) in zip(offsets, data) {
        let other = try p.read(simple, offset, Int(length))
        try p.expect(one == other, "the data that a simple reply gives at \(offset)", "other data, where holes read as zeros")
      }
    },
    .observed("SR-015") { p in try p.structuredRead() },
    .observed("SR-017") { p in
      let session = try p.fragmentless()
      for length in p.readLengths { _ = try session.request(.read, flags: .dontFragment, 0, length) }
    },
    Check("SR-018") { p in
      let session = try p.fragmentless()
      let length = min(p.facts.end, 65536)
      try p.need(length > 0, "the export is empty")
      let reply = try session.request(.read, flags: .dontFragment, p.facts.end - length, length)
      try p.expect(reply.isSuccess, "success of a read of \(length) bytes with DF", reply.summary)
    },
    Check("SR-019") { p in
      let session = try p.fragmentless()
      let length = min(p.facts.end, 48 << 20)
      let reply = try session.request(.read, flags: .dontFragment, 0, length)
      guard !reply.isSuccess else { return }
      try p.expect(reply.error == 75 || reply.error == 22, "data, NBD_EOVERFLOW or NBD_EINVAL", reply.summary)
      try p.expect(reply.contents.isEmpty, "no content beside the error", "\(reply.contents.count) content chunks")
    },
    Check("SR-029") { p in
      try p.need(.structured)
      try p.need(!p.target.hasServerForEachConnection, "each connection has a server of its own")
      let length = min(p.facts.end / 4, 65536) / p.facts.minimum * p.facts.minimum
      try p.need(length > 0, "the export is too small")
      let whole = try p.read(try p.transmission(.simple), 0, Int(4 * length))
      let session = try p.transmission(.structured)
      var cookies: [UInt64: UInt64] = [:]
      for index in 0..<4 { cookies[try session.sendRequest(0, UInt64(index) * length, length)] = UInt64(index) * length }
      while !cookies.isEmpty {
        let (cookie, reply) = try session.nextReply()
        guard let offset = cookies.removeValue(forKey: cookie) else { throw p.broken("4 cookies, each once", hex(cookie)) }
        let wanted = Array(whole[Int(offset)..<Int(offset + length)])
        try p.expect(
          reply.data(offset, Int(length)) == wanted, "the data at \(offset), from the chunks of its own cookie", "other data")
      }
    },
    Check("SR-030", isRisky: true) { p in
      try p.need(p.facts.blocks != nil, "the server advertises no maximum")
      let session = try p.transmission(.structured)
      let length = 2 * p.facts.maximum
      try p.need(size: length)
      try p.need(length <= 72 << 20, "the maximum is too large to try")
      let reply = try session.request(.read, 0, length)
      try p.expect([0, 22, 75].contains(reply.error), "data in several chunks, NBD_EOVERFLOW or NBD_EINVAL", reply.summary)
      try p.stillReads(session)
    },
  ]

  static let structuredErrors: [Check] = [
    .observed("SR-020") { p in try p.failingRead() },
    .observed("SR-021") { p in try p.failingRead() },
    .observed("SR-022") { p in
      try p.failingRead()
      try p.structuredRead()
    },
    Check("SR-023") { p in
      let session = try p.transmission(.structured)
      try p.breaking(session) {
        let reply = try session.request(.read, p.facts.end, 4 * p.facts.unit)
        let errors = reply.chunks.filter { $0.type.isError }
        try p.expect(!errors.isEmpty, "an error chunk", "\(reply.chunks.map(\.type))")
        try p.expect(session.isQuiet(), "nothing behind the chunk with DONE", "more bytes")
      }
    },
    .observed("SR-024") { p in try p.structuredRead() },
    .observed("SR-025") { p in try p.structuredRead() },
    .observed("SR-026") { p in try p.structuredRead() },
    .observed("SR-031") { p in
      try p.failingRead()
      _ = try p.transmission(.structured).request(number: 99)
    },
  ]
}

extension Probe {
  /// Lengths of reads from 0 on: small, a large chunk, and what may have holes in it.
  fileprivate var readLengths: [UInt64] {
    [facts.unit, 65536, 1 << 20].filter { $0 % facts.minimum == 0 && $0 <= facts.end && $0 <= facts.maximum }
  }

  /// Reads several lengths at both ends of the export, over whatever holes are there.
  fileprivate func structuredRead() throws {
    let session = try transmission(.structured)
    for length in readLengths {
      _ = try session.request(.read, 0, length)
      _ = try session.request(.read, facts.end - length, length)
    }
  }

  /// A read that fails.
  fileprivate func failingRead() throws {
    let session = try transmission(.structured)
    try breaking(session) { _ = try session.request(.read, facts.end, 4 * facts.unit) }
  }

  fileprivate func fragmentless() throws -> Session {
    let flags = try need(facts.flags[.structured], "the server has no structured replies")
    try need(flags & TransmissionFlags.sendDF.rawValue != 0, "NBD_FLAG_SEND_DF is clear")
    return try transmission(.structured)
  }
}
