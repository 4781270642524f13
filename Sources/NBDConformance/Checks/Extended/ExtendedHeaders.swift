import NBDProtocol

/// The extension with 64-bit lengths: `NBD_OPT_EXTENDED_HEADERS`, extended requests, and extended reply chunks.
extension Suite {
  static let extendedOption: [Check] = [
    Check("EH-001") { p in
      let answer = try p.haggling().option(.extendedHeaders)
      let isFine = [.ack, .unsupported, .tlsRequired, .policy, .platform].contains(answer.final)
      try p.expect(isFine, "NBD_REP_ACK or NBD_REP_ERR_UNSUP", answer.summary)
    },
    Check("EH-003") { p in
      try p.need(.extended)
      let session = try p.haggling()
      try p.breaking(session) {
        let answer = try session.option(.extendedHeaders, utf8("xx"))
        try p.expect(answer.final == .invalid, "NBD_REP_ERR_INVALID", answer.summary)
        session.isLicensed = false
        try p.go(session)
        let reply = try session.request(.read, 0, p.facts.unit)
        try p.expect(reply.form == .simple, "simple replies, as extended ones were refused", "others")
      }
    },
    Check("EH-004") { p in
      // Only where the extension is known: asked for after structured replies it may be refused.
      let session = try p.structured()
      let late = try session.option(.extendedHeaders)
      try p.need(late.isAcknowledged || p.facts.flags[.extended] != nil, "the server has no extended headers")
      let answer = try p.haggling().option(.extendedHeaders)
      try p.expect(answer.isAcknowledged, "NBD_REP_ACK without structured replies before", answer.summary)
    },
    Check("EH-005") { p in
      let session = try p.extended()
      let answer = try session.option(.go, p.information([0, 3]))
      try p.expect(answer.final != .unsupported, "NBD_OPT_GO to be supported", answer.summary)
    },
    Check("EH-006") { p in
      let session = try p.extended()
      let answer = try session.option(.structuredReply)
      try p.expect(answer.final.isError, "NBD_REP_ERR_EXT_HEADER_REQD", answer.summary)
      try p.prefer(answer.final == .extendedHeadersRequired, "NBD_REP_ERR_EXT_HEADER_REQD", answer.summary)
    },
    Check("EH-007") { p in
      let session = try p.extended()
      let answer = try session.option(.extendedHeaders)
      try p.expect(answer.isAcknowledged || answer.final == .invalid, "NBD_REP_ACK or NBD_REP_ERR_INVALID", answer.summary)
      try p.go(session)
      try p.stillReads(session)
    },
    .observed("EH-027") { p in
      let session = try p.haggling()
      _ = try session.option(OptionType(rawValue: 0x7fff))
      _ = try session.option(.go, p.information([3]))
    },
    Check("EH-021") { p in
      let flags = try p.need(p.facts.flags[.extended], "the server has no extended headers")
      try p.expect(flags & 1 << 12 == 0, "no NBD_FLAG_BLOCK_STATUS_PAYLOAD, as no context was selected", "flags \(hex(flags))")
    },
  ]

  static let extendedReplies: [Check] = [
    .observed("EH-008") { p in try p.extendedRequests() },
    .observed("EH-009") { p in try p.extendedRequests() },
    .observed("EH-010") { p in _ = try p.transmission(.extended).request(number: 98) },
    .observed("EH-017") { p in try p.extendedStatus() },
    .observed("EH-018") { p in try p.extendedStatus() },
    .observed("EH-019") { p in try p.extendedStatus() },
  ]

  static let extendedRequests: [Check] = [
    Check("EH-011") { p in
      let session = try p.transmission(.extended)
      let data = Probe.pattern(Int(p.facts.unit), 111)
      try p.need(size: p.facts.unit)
      let reply = try session.request(.write, flags: .payloadLength, 0, p.facts.unit, payload: data)
      try p.expect(reply.isSuccess, "success of NBD_CMD_WRITE with PAYLOAD_LEN", reply.summary)
      try p.expect(p.read(session, 0, data.count) == data, "what was written", "other data")
    },
    Check("EH-012") { p in
      let session = try p.transmission(.extended)
      try p.breaking(session) {
        let cookie = try session.sendRequest(1, flags: 0, 0, p.facts.unit)
        // That it waits for the payload which a compact request would have is what the text does not rule out.
        try p.prefer(
          session.stream.hasMore(within: p.settings.timeout), "NBD_EINVAL to NBD_CMD_WRITE without PAYLOAD_LEN", "silence")
        let reply = try session.reply(to: cookie)
        try p.prefer(reply.error == 22, "NBD_EINVAL to NBD_CMD_WRITE without PAYLOAD_LEN", reply.summary)
        try p.stillReads(session)
      }
    },
    Check("EH-013") { p in
      let session = try p.transmission(.extended)
      let reply = try session.request(.read, flags: .payloadLength, 0, 512, payload: Probe.pattern(512))
      try p.expect(reply.error == 22, "NBD_EINVAL to NBD_CMD_READ with a payload", reply.summary)
      try p.stillReads(session)
    },
    Check("EH-014", isRisky: true) { p in
      let blocks = try p.need(p.facts.blocks, "the server advertises no maximum")
      let session = try p.transmission(.extended)
      try session.sendRequest(1, flags: 32, 0, UInt64(blocks.maximum) + 1)
      let (_, isEnd) = session.end(64)
      try p.expect(isEnd, "the end of the connection for a payload above the maximum, \(blocks.maximum)", "an open connection")
    },
    Check("EH-015") { p in
      try p.need(.extended)
      let length: UInt64 = 1 << 32 + 512 * p.facts.minimum
      try p.need(size: length)
      let session = try p.transmission(.extended, contexts: p.facts.hasAllocation ? ["base:allocation"] : [])
      if p.facts.hasAllocation {
        let reply = try session.request(.blockStatus, 0, length)
        try p.expect([0, 22, 75].contains(reply.error), "success, NBD_EOVERFLOW or NBD_EINVAL", reply.summary)
      }
      try p.need(.sendWriteZeroes, "NBD_CMD_WRITE_ZEROES")
      // What lies behind the length's lower 32 bits would stay, if those were all that is looked at.
      let place = 1024 * p.facts.minimum
      try p.write(session, place, Probe.pattern(Int(p.facts.unit), 121))
      let reply = try session.request(.writeZeroes, 0, length)
      try p.expect([0, 22, 75].contains(reply.error), "success, NBD_EOVERFLOW or NBD_EINVAL", reply.summary)
      guard reply.isSuccess else { return }
      let data = try p.read(session, place, Int(p.facts.unit))
      try p.expect(data.allSatisfy { $0 == 0 }, "zeros in all of the range", "data that was not zeroed")
    },
    Check("EH-016") { p in
      let session = try p.transmission(.extended)
      try p.breaking(session) {
        let read = try session.request(.read, 0, 1 << 63)
        try p.expect(!read.isSuccess, "an error to a read of 2^63 bytes", "success")
        if p.facts.has(.sendWriteZeroes) {
          let reply = try session.request(.writeZeroes, p.facts.unit, 0 &- p.facts.unit)
          try p.expect(reply.error == 22 || reply.error == 28, "NBD_EINVAL or NBD_ENOSPC to a range that overflows", reply.summary)
        }
        try p.stillReads(session)
      }
    },
    Check("EH-022") { p in
      let (session, id) = try p.payloadStatus()
      let reply = try session.request(.blockStatus, flags: .payloadLength, 0, 12, payload: bytes(p.facts.unit) + bytes(id))
      try p.expect(
        reply.isSuccess && reply.statuses.map(\.context) == [id], "the status of context \(id) only",
        "\(reply.statuses.map(\.context)), \(reply.summary)")
    },
    Check("EH-023", isRisky: true) { p in
      let (session, id) = try p.payloadStatus()
      let length = bytes(p.facts.unit)
      for payload in [length + bytes(id) + bytes(id), length + bytes(id ^ 0x00de_ad00)] {
        let reply = try session.request(.blockStatus, flags: .payloadLength, 0, UInt64(payload.count), payload: payload)
        try p.expect(reply.error == 22, "NBD_EINVAL to doubled and to unknown contexts", reply.summary)
      }
      let reply = try session.request(.blockStatus, flags: .payloadLength, 0, 9, payload: length + [0])
      try p.expect(!reply.isSuccess, "an error to a payload of 9 bytes", "success")
      try p.stillReads(session)
    },
    Check("EH-024", isRisky: true) { p in
      let flags = try p.need(p.facts.flags[.extended], "the server has no extended headers")
      try p.need(flags & 1 << 12 == 0, "NBD_FLAG_BLOCK_STATUS_PAYLOAD is set")
      let session = try p.transmission(.extended)
      let reply = try session.request(.blockStatus, flags: .payloadLength, 0, 12, payload: bytes(p.facts.unit) + bytes(UInt32(1)))
      try p.expect(reply.error == 22, "NBD_EINVAL to NBD_CMD_BLOCK_STATUS with a payload", reply.summary)
      try p.stillReads(session)
    },
    Check("EH-028") { p in
      let session = try p.transmission(.extended)
      try p.breaking(session) {
        let request = session.prepare(0, 0, p.facts.unit)
        try session.send(bytes(Magic.request) + request.bytes.dropFirst(4), "a request with the compact magic, of 32 bytes")
        let reply = try session.reply(to: request.cookie)
        try p.expect(!reply.isSuccess, "an error, or the end of the connection", "data")
      }
    },
  ]
}

extension Probe {
  /// In the haggling, with extended headers agreed.
  fileprivate func extended() throws -> Session {
    try need(.extended)
    let session = try haggling()
    try agree(session, .extended)
    return session
  }

  fileprivate func extendedRequests() throws {
    let session = try transmission(.extended)
    _ = try session.request(.read, min(4096, facts.lastUnit) / facts.minimum * facts.minimum, facts.unit)
    if facts.has(.sendFlush) { _ = try session.request(.flush) }
    _ = try session.request(number: 99, 512, 0)
  }

  fileprivate func extendedStatus() throws {
    try need(facts.hasAllocation, "the server has no base:allocation")
    let session = try transmission(.extended, contexts: ["base:allocation"])
    for length in [facts.unit, facts.end] { _ = try session.request(.blockStatus, 0, length) }
  }

  /// In the transmission phase of a server that takes lists of contexts, and the number of one.
  fileprivate func payloadStatus() throws -> (Session, UInt32) {
    let all = try need(facts.contexts, "the server has no metadata contexts")
    let session = try extended()
    try select(session, Array(all.prefix(8)))
    let answer = try go(session, [0, 3])
    try need((answer.export?.flags ?? 0) & 1 << 12 != 0, "NBD_FLAG_BLOCK_STATUS_PAYLOAD is clear")
    return (session, try need(session.contexts.keys.min(), "no context was selected"))
  }
}
