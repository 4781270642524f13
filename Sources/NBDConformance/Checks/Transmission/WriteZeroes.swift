import NBDProtocol

/// *Request types*: `NBD_CMD_WRITE_ZEROES`.
extension Suite {
  static let writeZeroes: [Check] = [
    Check("TX-046") { p in
      let session = try p.zeroing()
      let unit = p.facts.unit
      try p.need(size: 3 * unit)
      var flags: [CommandFlags] = [[], .noHole]
      if p.facts.has(.sendFUA) { flags.append(.fua) }
      for flag in flags {
        let data = Probe.pattern(Int(3 * unit), 71)
        try p.write(session, 0, data)
        let reply = try session.request(.writeZeroes, flags: flag, unit, unit)
        // Whether the flag is taken is another check's question.
        guard reply.isSuccess else { continue }
        let after = try p.read(session, 0, Int(3 * unit))
        let wanted = data.prefix(Int(unit)) + Array(repeating: 0, count: Int(unit)) + data.suffix(Int(unit))
        try p.expect(
          after == Array(wanted), "zeros in the range, and unchanged data around it", "other data, with flags \(flag.rawValue)")
      }
    },
    Check("TX-047") { p in
      let reply = try p.zeroing().request(.writeZeroes, flags: .noHole, 0, p.facts.unit)
      try p.expect(reply.isSuccess, "success of NBD_CMD_WRITE_ZEROES with NO_HOLE", reply.summary)
    },
    Check("TX-048") { p in
      try p.need(.sendWriteZeroes, "NBD_CMD_WRITE_ZEROES")
      let session = try p.allocation()
      let length = min(p.facts.end, 65536)
      try p.need(session.request(.writeZeroes, flags: .noHole, 0, length).isSuccess, "NBD_CMD_WRITE_ZEROES with NO_HOLE fails")
      let extents = try session.request(.blockStatus, 0, length).statuses.first?.extents ?? []
      try p.prefer(extents.allSatisfy { $0.status & 1 == 0 }, "no NBD_STATE_HOLE after NO_HOLE (ambiguity A21)", "NBD_STATE_HOLE")
    },
    Check("TX-049") { p in
      let session = try p.zeroing()
      try p.breaking(session) {
        for (offset, length) in p.facts.outside {
          let reply = try session.request(.writeZeroes, offset, length)
          try p.expect(reply.error == 28, "NBD_ENOSPC to NBD_CMD_WRITE_ZEROES of \(length) bytes at \(offset)", reply.summary)
        }
        try p.stillReads(session)
      }
    },
    Check("TX-051") { p in
      let session = try p.zeroing()
      try p.staying(session) {
        _ = try session.request(.writeZeroes)
        try p.stillReads(session)
      }
    },
    Check("TX-052") { p in
      try p.need(.sendFastZero, "NBD_CMD_FLAG_FAST_ZERO")
      let reply = try p.zeroing().request(.writeZeroes, 0, p.facts.unit)
      try p.expect(reply.error != 95, "no NBD_ENOTSUP without FAST_ZERO", reply.summary)
    },
    Check("TX-053") { p in
      try p.need(.sendFastZero, "NBD_CMD_FLAG_FAST_ZERO")
      try p.need(size: 2 * p.facts.unit)
      let length = min(p.facts.end - p.facts.unit, 1 << 30)
      let reply = try p.zeroing().request(.writeZeroes, flags: .fastZero, p.facts.unit, length)
      try p.expect(reply.error == 0 || reply.error == 95, "success or NBD_ENOTSUP", reply.summary)
    },
    Check("TX-054") { p in
      try p.need(.sendFastZero, "NBD_CMD_FLAG_FAST_ZERO")
      let session = try p.zeroing()
      let data = Probe.pattern(Int(p.facts.unit), 81)
      try p.write(session, 0, data)
      let reply = try session.request(.writeZeroes, flags: .fastZero, 0, p.facts.unit)
      try p.need(reply.error == 95, "FAST_ZERO does not fail")
      try p.expect(p.read(session, 0, data.count) == data, "unchanged data after NBD_ENOTSUP", "other data")
    },
    Check("TX-055") { p in
      try p.need(.sendFastZero, "NBD_CMD_FLAG_FAST_ZERO")
      let length = min(p.facts.end, UInt64(UInt32.max) / p.facts.unit * p.facts.unit)
      let reply = try p.zeroing().request(.writeZeroes, flags: .fastZero, 0, length)
      try p.expect(reply.error != 75, "no NBD_EOVERFLOW with FAST_ZERO", reply.summary)
    },
    Check("TX-056", isRisky: true) { p in
      try p.needAbsent(.sendFastZero, "NBD_CMD_FLAG_FAST_ZERO")
      let session = try p.zeroing()
      try p.breaking(session) {
        let reply = try session.request(.writeZeroes, flags: .fastZero, 0, p.facts.unit)
        try p.expect(reply.error == 22, "NBD_EINVAL to FAST_ZERO, which is not advertised", reply.summary)
        try p.stillReads(session)
      }
    },
    Check("TX-057") { p in
      try p.needAbsent(.sendWriteZeroes, "NBD_CMD_WRITE_ZEROES")
      let session = try p.transmission()
      try p.breaking(session) {
        let reply = try session.request(.writeZeroes, 0, p.facts.unit)
        try p.expect(reply.error == 22, "NBD_EINVAL to NBD_CMD_WRITE_ZEROES, which is not advertised", reply.summary)
        try p.stillReads(session)
      }
    },
    Check("TX-058") { p in
      try p.needAbsent(.sendFastZero, "NBD_CMD_FLAG_FAST_ZERO")
      let reply = try p.zeroing().request(.writeZeroes, 0, p.facts.unit)
      try p.expect(reply.error != 95, "no NBD_ENOTSUP, as FAST_ZERO is not advertised", reply.summary)
    },
  ]
}

extension Probe {
  fileprivate func zeroing() throws -> Session {
    try need(.sendWriteZeroes, "NBD_CMD_WRITE_ZEROES")
    try need(size: facts.unit)
    return try transmission()
  }
}
