import NBDProtocol

/// *Client flags*, and what they change in the answer to `NBD_OPT_EXPORT_NAME`.
extension Suite {
  static let clientFlags: [Check] = [
    Check("HS-006") { p in
      try p.need(p.facts.handshakeFlags & 3 == 3, "the server does not offer NBD_FLAG_NO_ZEROES")
      try p.needExportName()
      let session = try p.haggling(flags: 1)
      try session.sendOption(.exportName, p.facts.exportName)
      let reply = session.stream.rest(134)
      session.log(.received, "export", [Field("bytes", reply)])
      try p.expect(reply.count == 134, "10 bytes and 124 more", "\(reply.count) bytes")
    },
    Check("HS-007") { p in
      for flags: UInt32 in [0x4, 0x7, 0x8000_0001, 0xffff_ffff] {
        let session = try p.haggling(flags: flags, isPlain: true)
        try session.sendOption(.list)
        let (bytes, isEnd) = session.end(20)
        try p.expect(
          isEnd && bytes.isEmpty, "the end of the connection after client flags \(hex(flags))",
          bytes.isEmpty ? "an open connection" : "an answer to NBD_OPT_LIST")
      }
    },
    Check("HS-008") { p in
      let offered = p.facts.handshakeFlags & 3
      try p.need(!p.facts.isOldstyle, "the server is oldstyle")
      try p.need(offered != 3, "the server offers both flags")
      for flags: UInt32 in [1, 2, 3] where flags & ~UInt32(offered) != 0 {
        let session = try p.haggling(flags: flags, isPlain: true)
        try session.sendOption(.list)
        let (bytes, isEnd) = session.end(20)
        try p.expect(
          isEnd && bytes.isEmpty, "the end of the connection after flags \(flags), of which the server offered \(offered)",
          bytes.isEmpty ? "an open connection" : "an answer to NBD_OPT_LIST")
      }
    },
    Check("HS-009") { p in
      let session = try p.haggling(flags: 0, isPlain: true)
      try p.breaking(session) {
        let answer = try session.option(.list)
        try p.expect(
          answer.isAcknowledged || answer.final.isError, "an answer, an error or the end of the connection", answer.summary)
      }
    },
    Check("HS-010") { p in
      let session = try p.haggling(flags: 0)
      let export = try p.exportName(session, isPadded: true)
      try p.expect(export.size == p.facts.size, "size \(p.facts.size)", "\(export.size)")
      try p.stillReads(session)
    },
    Check("HS-011") { p in
      try p.need(p.facts.handshakeFlags & 2 != 0, "the server does not offer NBD_FLAG_NO_ZEROES")
      let session = try p.haggling(flags: 2)
      _ = try p.exportName(session, isPadded: false)
      try p.expect(session.isQuiet(), "silence behind 10 bytes", "more bytes")
      try p.stillReads(session)
    },
  ]

  static let handshakeRobustness: [Check] = [
    Check("HS-015") { p in
      try p.need(p.target.tcpPort != nil, "the connection is not TCP")
      let distance = try p.roundTrip()
      let session = try p.transmission()
      try p.need(size: p.facts.unit)
      var times: [UInt64] = []
      for _ in 0..<20 {
        let start = MonotonicClock.now
        _ = try p.read(session, 0, Int(p.facts.unit))
        times.append(MonotonicClock.now - start)
      }
      let median = times.sorted()[times.count / 2]
      try p.expect(
        median < distance + 30_000_000, "replies without the stalls of Nagle's algorithm",
        "a median of \(median / 1_000_000) ms, where a greeting takes \(distance / 1_000_000) ms")
    },
    Check("HS-016") { p in
      let whole = try p.greeted()
      let option = Session.encoded(.info, p.information())
      let flags = bytes(UInt32(p.facts.handshakeFlags & 3))
      try whole.send(flags + option, "client flags and NBD_OPT_INFO in one piece")
      let expected = try whole.optionAnswer(.info)
      let drop = try p.greeted()
      try p.drip(drop, flags, "the client flags")
      try p.drip(drop, option, "NBD_OPT_INFO")
      let answer = try drop.optionAnswer(.info)
      try p.expect(answer.replies == expected.replies, "the same answer to single bytes: \(expected.summary)", answer.summary)
    },
    Check("HS-017") { p in
      let session = try p.haggling()
      try p.breaking(session) {
        try session.sendOption(.info, p.information(), magic: 0x1234_5678_1234_5678)
        let answer = try session.optionAnswer(.info)
        try p.expect(!answer.isAcknowledged, "an error, or the end of the connection", answer.summary)
      }
    },
    Check("HS-018") { p in
      try p.need(!p.target.hasServerForEachConnection, "each connection has a server of its own")
      let first = try p.connect()
      first.leave()
      for count in [2, 12, 20] {
        let session = try p.greeted()
        let start = bytes(UInt32(p.facts.handshakeFlags & 3)) + Session.encoded(.info, p.information())
        try session.send(Array(start.prefix(count)), "the first \(count) bytes of flags and option")
        session.leave()
      }
      try p.livesOn()
    },
  ]
}

extension Probe {
  /// Nanoseconds from the beginning of a connection to the server's first byte, which nothing holds back: the least of three.
  fileprivate func roundTrip() throws -> UInt64 {
    var least = UInt64.max
    for _ in 0..<3 {
      let session = try connect()
      let start = MonotonicClock.now
      _ = try session.receive(1, "the greeting")
      least = min(least, MonotonicClock.now - start)
    }
    return least
  }

  /// A server that insists on block sizes may refuse who cannot ask for them.
  func needExportName() throws {
    try need(!facts.refusesExportName, "the server insists on block sizes, and refuses NBD_OPT_EXPORT_NAME, as it may")
  }

  /// The answer to `NBD_OPT_EXPORT_NAME`.
  func exportName(_ session: Session, _ name: [UInt8]? = nil, isPadded: Bool) throws -> (
    size: UInt64, flags: UInt16, padding: [UInt8]
  ) {
    try needExportName()
    try session.sendOption(.exportName, name ?? facts.exportName)
    let reply = try session.receive(10, "size and flags in answer to NBD_OPT_EXPORT_NAME")
    let padding = isPadded ? try session.receive(124, "124 bytes behind size and flags") : []
    session.log(
      .received, "export",
      [Field("size", reply[0..<8]), Field("flags", reply[8..<10])] + (isPadded ? [Field("zeros", padding)] : []))
    return (reply.span.bytes.loadBigEndian(0), reply.span.bytes.loadBigEndian(8), padding)
  }

  /// The client flags of an ordinary client, and whether `NBD_OPT_EXPORT_NAME` is padded then.
  var isPadded: Bool { facts.handshakeFlags & 2 == 0 }
}
