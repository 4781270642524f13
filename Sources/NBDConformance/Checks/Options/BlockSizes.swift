import NBDProtocol

/// *Size constraints*: what a server says about block sizes, and requests that do or do not suit them.
extension Suite {
  static let blockSizes: [Check] = [
    Check("SZ-001") { p in
      let blocks = try p.advertised()
      try p.expect(
        blocks.minimum.nonzeroBitCount == 1 && blocks.minimum <= 65536, "a power of two of at most 65536 as minimum",
        "\(blocks.minimum)")
    },
    Check("SZ-002") { p in
      let blocks = try p.advertised()
      try p.expect(
        blocks.preferred.nonzeroBitCount == 1 && blocks.preferred >= max(blocks.minimum, 512),
        "a power of two of at least \(max(blocks.minimum, 512)) as preferred size", "\(blocks.preferred)")
    },
    Check("SZ-003") { p in
      let blocks = try p.advertised()
      try p.expect(
        blocks.maximum >= blocks.preferred, "at least the preferred size, \(blocks.preferred), as maximum", "\(blocks.maximum)")
    },
    Check("SZ-004") { p in
      let blocks = try p.advertised()
      try p.need(size: 1 << 20)
      try p.expect(blocks.maximum >= 1 << 20, "at least 2^20 as maximum", "\(blocks.maximum)")
    },
    Check("SZ-005") { p in
      let blocks = try p.advertised()
      try p.need(blocks.minimum > 0, "the minimum is 0")
      try p.expect(
        p.facts.size % UInt64(blocks.minimum) == 0, "a size that is a multiple of the minimum, \(blocks.minimum)", "\(p.facts.size)"
      )
    },
    Check("SZ-006") { p in
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_INFO")
      let answer = try p.haggling().option(.info, p.information([3]))
      try p.need(answer.isAcknowledged, "NBD_OPT_INFO is refused")
      guard answer.blocks == nil else { return }
      try p.need(p.facts.size > 1, "the export is too small")
      let session = try p.transmission()
      let reply = try session.request(.read, 1, 1)
      try p.expect(
        reply.isSuccess, "block sizes, or access to single bytes", "no sizes, and \(reply.summary) to a read of one byte")
    },
  ]

  static let blockSizeRequests: [Check] = [
    Check("SZ-007") { p in
      try p.need(p.facts.blocks == nil, "the server advertises block sizes")
      try p.need(p.facts.size > 1, "the export is too small")
      let session = try p.transmission()
      for offset: UInt64 in [1, p.facts.size - 1] {
        let reply = try session.request(.read, offset, 1)
        try p.expect(reply.isSuccess, "success of a read of one byte at \(offset)", reply.summary)
      }
    },
    Check("SZ-008", isRisky: true) { p in
      try p.need(p.facts.blocks == nil, "the server advertises block sizes")
      try p.need(size: 1 << 25)
      let session = try p.transmission()
      let reply = try session.request(.read, 0, 1 << 25)
      try p.expect(reply.isSuccess, "success of a read of 32 MiB", reply.summary)
      try p.need(!p.facts.isReadOnly, "the export is read-only")
      let written = try session.request(.write, 0, 1 << 25, payload: Probe.pattern(1 << 25, 3))
      try p.expect(written.isSuccess, "success of a write of 32 MiB", written.summary)
    },
    Check("SZ-009") { p in
      let minimum = try p.constrained()
      let session = try p.transmission()
      try p.breaking(session) {
        var requests: [(Command, UInt64, UInt64)] = [(.read, 1, minimum), (.read, 0, minimum + 1)]
        if p.facts.has(.sendCache) { requests.append((.cache, 1, minimum)) }
        for (command, offset, length) in requests {
          let reply = try session.request(command, offset, length)
          try p.prefer(!reply.isSuccess, "NBD_EINVAL to \(command) of \(length) bytes at \(offset)", "success")
          try p.expect(reply.error == 22, "NBD_EINVAL to \(command) of \(length) bytes at \(offset)", reply.summary)
        }
        try p.stillReads(session)
      }
    },
    Check("SZ-010") { p in
      let minimum = try p.constrained()
      let session = try p.transmission()
      let before = try p.read(session, 0, Int(2 * minimum))
      let isThere = try p.breaking(session) {
        for (offset, length): (UInt64, UInt64) in [(1, minimum), (0, minimum + 1)] {
          let reply = try session.request(.write, offset, length, payload: Probe.pattern(Int(length), 5))
          try p.prefer(!reply.isSuccess, "NBD_EINVAL to a write of \(length) bytes at \(offset)", "success")
          try p.expect(reply.error == 22, "NBD_EINVAL to a write of \(length) bytes at \(offset)", reply.summary)
        }
        try p.stillReads(session)
      }
      let after = try p.read(isThere ? session : try p.transmission(), 0, Int(2 * minimum))
      try p.expect(after == before, "data that nobody changed", "other data")
    },
    Check("SZ-011") { p in
      let session = try p.transmission()
      try p.breaking(session) {
        for (offset, length) in [(p.facts.lastUnit, 3 * p.facts.unit), (0 &- p.facts.unit, 3 * p.facts.unit)] {
          let reply = try session.request(.read, offset, length)
          try p.expect(!reply.isSuccess, "an error to a read of \(length) bytes at \(offset)", "success")
        }
      }
    },
    Check("SZ-012", isRisky: true) { p in
      let blocks = try p.advertised()
      try p.need(blocks.maximum < 1 << 25, "the maximum is 2^25 or more")
      let length = UInt64(blocks.maximum) + p.facts.minimum
      try p.need(size: length)
      let session = try p.transmission()
      try p.staying(session) {
        _ = try session.request(.write, 0, length, payload: Probe.pattern(Int(length), 7))
        try p.stillReads(session)
      }
    },
    Check("SZ-013") { p in
      let length = min(p.facts.size, 2 * p.facts.maximum, UInt64(UInt32.max)) / p.facts.unit * p.facts.unit
      try p.need(
        p.facts.has(.sendTrim) || p.facts.has(.sendWriteZeroes), "neither NBD_CMD_TRIM nor NBD_CMD_WRITE_ZEROES is advertised")
      let session = try p.transmission()
      let commands: [(Command, TransmissionFlags)] = [(.writeZeroes, .sendWriteZeroes), (.trim, .sendTrim)]
      try p.staying(session) {
        for (command, flag) in commands where p.facts.has(flag) {
          let reply = try session.request(command, 0, length)
          try p.expect(
            [0, 75, 22].contains(reply.error), "success, NBD_EOVERFLOW or NBD_EINVAL to \(command) of \(length) bytes",
            reply.summary)
        }
        try p.stillReads(session)
      }
    },
    .observed("SZ-014") { p in
      let blocks = try p.advertised()
      let session = try p.transmission(.structured)
      let length = min(p.facts.size, UInt64(blocks.maximum)) / p.facts.unit * p.facts.unit
      _ = try session.request(.read, 0, length)
      let twice = 2 * UInt64(blocks.maximum)
      if p.facts.size >= twice, twice <= 64 << 20 { _ = try session.request(.read, 0, twice) }
    },
    Check("SZ-015") { p in
      let minimum = try p.constrained()
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_GO")
      let session = try p.haggling()
      let answer = try session.option(.go, p.information([]))
      try p.need(answer.isAcknowledged, "the server wants to be asked for block sizes")
      let before = try p.read(session, 0, Int(2 * minimum))
      let piece = Probe.pattern(Int(minimum), 9)
      var isWritten = false
      let isThere = try p.breaking(session) {
        isWritten = try session.request(.write, 1, minimum, payload: piece).isSuccess
      }
      let after = try p.read(isThere ? session : try p.transmission(), 0, Int(2 * minimum))
      let wanted = isWritten ? [before[0]] + piece + before[(Int(minimum) + 1)...] : before
      try p.expect(
        after == wanted, isWritten ? "exactly the bytes that were written" : "unchanged data after an error", "other data")
    },
    Check("SZ-016", isRisky: true) { p in
      let session = try p.transmission()
      let isThere = try p.breaking(session) { _ = try session.request(.read, p.facts.lastUnit, UInt64(UInt32.max)) }
      if isThere { try p.stillReads(session) }
      let other = try p.transmission()
      let header = other.encodedRequest(1, other.form == .extended ? 32 : 0, 77, 0, UInt64(UInt32.max))
      try other.send(header + Probe.pattern(512), "NBD_CMD_WRITE of 2^32-1 bytes, and 512 of them")
      _ = other.isQuiet()
      other.leave()
      try p.stillReads(try p.transmission())
    },
  ]
}

extension Probe {
  fileprivate func advertised() throws -> (minimum: UInt32, preferred: UInt32, maximum: UInt32) {
    try need(facts.hasGo, "the server does not know NBD_OPT_INFO")
    return try need(haggling().option(.info, information([3])).blocks, "the server advertises no block sizes")
  }

  /// The minimum block size, where it is above 1 and the export has room for it.
  fileprivate func constrained() throws -> UInt64 {
    try need(facts.minimum > 1, "the server has no minimum block size above 1")
    try need(size: 4 * facts.minimum)
    return facts.minimum
  }
}
