import NBDProtocol

/// *Request types*: `NBD_CMD_FLUSH`, `NBD_CMD_TRIM`, `NBD_CMD_CACHE`.
extension Suite {
  static let flush: [Check] = [
    Check("TX-035") { p in
      try p.need(.sendFlush, "NBD_CMD_FLUSH")
      let reply = try p.transmission().request(.flush)
      try p.expect(reply.isSuccess, "success of NBD_CMD_FLUSH", reply.summary)
    },
    Check("TX-036") { p in
      try p.needAbsent(.sendFlush, "NBD_CMD_FLUSH")
      let session = try p.transmission()
      try p.breaking(session) {
        let reply = try session.request(.flush)
        try p.expect(reply.error == 22, "NBD_EINVAL to NBD_CMD_FLUSH, which is not advertised", reply.summary)
        try p.stillReads(session)
      }
    },
    Check("TX-037") { p in
      try p.need(.sendFlush, "NBD_CMD_FLUSH")
      let session = try p.transmission()
      try p.breaking(session) {
        for (offset, length): (UInt64, UInt64) in [(512, 0), (0, 512)] {
          let reply = try session.request(.flush, offset, length)
          try p.expect(reply.error == 0 || reply.error == 22, "success or NBD_EINVAL to NBD_CMD_FLUSH with a range", reply.summary)
        }
        try p.stillReads(session)
      }
    },
  ]

  static let trim: [Check] = [
    Check("TX-038") { p in
      try p.need(.sendTrim, "NBD_CMD_TRIM")
      let session = try p.transmission()
      try p.breaking(session) {
        for (offset, length) in p.facts.outside {
          let reply = try session.request(.trim, offset, length)
          try p.expect(reply.error == 22, "NBD_EINVAL to NBD_CMD_TRIM of \(length) bytes at \(offset)", reply.summary)
        }
        try p.stillReads(session)
      }
    },
    Check("TX-039") { p in
      try p.need(.sendTrim, "NBD_CMD_TRIM")
      let session = try p.transmission()
      try p.staying(session) {
        _ = try session.request(.trim)
        try p.stillReads(session)
      }
    },
    Check("TX-040") { p in
      try p.need(.sendTrim, "NBD_CMD_TRIM")
      let unit = p.facts.unit
      try p.need(size: 3 * unit)
      let session = try p.transmission()
      let data = Probe.pattern(Int(3 * unit), 61)
      try p.write(session, 0, data)
      _ = try session.request(.trim, unit, unit)
      try p.expect(p.read(session, 0, Int(unit)) == Array(data.prefix(Int(unit))), "unchanged data before the range", "other data")
      try p.expect(
        p.read(session, 2 * unit, Int(unit)) == Array(data.suffix(Int(unit))), "unchanged data behind the range", "other data")
    },
    Check("TX-041") { p in
      try p.needAbsent(.sendTrim, "NBD_CMD_TRIM")
      let session = try p.transmission()
      try p.breaking(session) {
        let reply = try session.request(.trim, 0, p.facts.unit)
        try p.expect(reply.error == 22, "NBD_EINVAL to NBD_CMD_TRIM, which is not advertised", reply.summary)
        try p.stillReads(session)
      }
    },
    Check("TX-042") { p in
      try p.need(.sendTrim, "NBD_CMD_TRIM")
      let session = try p.transmission()
      try p.breaking(session) {
        for flags in [CommandFlags.noHole, .fastZero] {
          let reply = try session.request(.trim, flags: flags, 0, p.facts.unit)
          try p.expect(reply.error == 22, "NBD_EINVAL to NBD_CMD_TRIM with flag \(flags.rawValue)", reply.summary)
        }
      }
    },
  ]

  static let cache: [Check] = [
    Check("TX-043") { p in
      try p.need(.sendCache, "NBD_CMD_CACHE")
      let session = try p.transmission()
      try p.breaking(session) {
        for flags: UInt16 in [2, 4, 8, 16, 0x8000] {
          let reply = try session.request(number: 5, flags: flags, 0, p.facts.unit)
          try p.expect(!reply.isSuccess, "an error to NBD_CMD_CACHE with flag \(flags)", "success")
        }
      }
    },
    Check("TX-044") { p in
      let session = try p.transmission()
      let unit = p.facts.unit
      try p.need(size: unit)
      let before = try p.read(session, 0, Int(unit))
      _ = try session.request(.cache, 0, unit)
      try p.expect(p.read(session, 0, Int(unit)) == before, "the data from before NBD_CMD_CACHE", "other data")
    },
    Check("TX-045") { p in
      let session = try p.transmission()
      try p.breaking(session) {
        for (offset, length) in [(0, p.facts.unit), (p.facts.lastUnit, 4 * p.facts.unit), (0, 0), (1, 1)] {
          _ = try session.request(.cache, offset, length)
        }
        try p.stillReads(session)
      }
    },
  ]
}
