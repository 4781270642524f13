import NBDProtocol

/// *Request types*: `NBD_CMD_WRITE`; *Command flags*: FUA.
extension Suite {
  static let write: [Check] = [
    Check("TX-009") { p in
      let session = try p.transmission()
      let length = 128 * p.facts.unit
      try p.breaking(session) {
        let write = session.prepare(1, p.facts.end, length, payload: Probe.pattern(Int(length)))
        let read = session.prepare(0, 0, p.facts.unit)
        try session.send(write.bytes + read.bytes, "NBD_CMD_WRITE beyond the end, and NBD_CMD_READ, in one piece")
        let refused = try session.reply(to: write.cookie)
        try p.need(!refused.isSuccess, "a write beyond the end succeeds")
        // Who wants to hang up has done so before this.
        session.isLicensed = false
        let reply: Reply
        do { reply = try session.reply(to: read.cookie) } catch let finding as Finding where session.hasMetItsEnd {
          return try p.prefer(false, "the data of the read behind a write that was refused", finding.found)
        }
        try p.expect(reply.isSuccess, "the data of the read behind a write that was refused", reply.summary)
      }
    },
    Check("TX-024") { p in
      let session = try p.transmission()
      let step = p.facts.minimum
      for (seed, length) in [1, 512, 4096, 1 << 20].enumerated()
      where UInt64(length) % step == 0 && UInt64(length) <= min(p.facts.maximum, p.facts.end) {
        for offset in [0, step, p.facts.end - UInt64(length)] where offset + UInt64(length) <= p.facts.end && offset % step == 0 {
          let data = Probe.pattern(length, UInt8(20 + seed))
          try p.write(session, offset, data)
          try p.expect(p.read(session, offset, length) == data, "the \(length) bytes written at \(offset)", "other data")
        }
      }
    },
    Check("TX-025") { p in
      let session = try p.transmission()
      let tail = try p.read(session, p.facts.lastUnit, Int(p.facts.unit))
      let isThere = try p.breaking(session) {
        for (offset, length) in p.facts.outside {
          let reply = try session.request(.write, offset, length, payload: Probe.pattern(Int(length), 31))
          try p.expect(reply.error == 28, "NBD_ENOSPC to a write of \(length) bytes at \(offset)", reply.summary)
        }
      }
      let after = try p.read(isThere ? session : p.transmission(), p.facts.lastUnit, tail.count)
      if after != tail { throw p.broken("unchanged data before the end", "other data") }
    },
    Check("TX-026") { p in
      let session = try p.transmission()
      try p.staying(session) {
        _ = try session.request(.write, 0, 0)
        try p.stillReads(session)
      }
    },
    Check("TX-027") { p in
      try p.need(.sendFUA, "NBD_CMD_FLAG_FUA")
      let session = try p.hasContexts() ? p.allocation() : p.transmission()
      let unit = p.facts.unit
      try p.need(size: unit)
      var requests: [(Command, UInt64, [UInt8])] = [(.read, unit, []), (.write, unit, Probe.pattern(Int(unit), 41))]
      if p.facts.has(.sendFlush) { requests.append((.flush, 0, [])) }
      if p.facts.has(.sendTrim) { requests.append((.trim, unit, [])) }
      if p.facts.has(.sendWriteZeroes) { requests.append((.writeZeroes, unit, [])) }
      if p.hasContexts() { requests.append((.blockStatus, unit, [])) }
      for (command, length, payload) in requests {
        let reply = try session.request(command, flags: .fua, 0, length, payload: payload)
        try p.expect(reply.error != 22, "no NBD_EINVAL to \(command) because of FUA", reply.summary)
      }
    },
    Check("TX-028") { p in
      try p.needAbsent(.sendFUA, "NBD_CMD_FLAG_FUA")
      let session = try p.transmission()
      try p.need(size: p.facts.unit)
      try p.breaking(session) {
        let reply = try session.request(.write, flags: .fua, 0, p.facts.unit, payload: Probe.pattern(Int(p.facts.unit)))
        try p.expect(reply.error == 22, "NBD_EINVAL to a write with FUA, which is not advertised", reply.summary)
        try p.stillReads(session)
      }
    },
    .observed("TX-067") { p in
      let session = try p.transmission()
      try p.need(size: p.facts.unit)
      _ = try session.request(.write, p.facts.end, p.facts.unit, payload: Probe.pattern(Int(p.facts.unit)))
    },
  ]
}

extension Probe {
  /// There is a context to ask the status of.
  fileprivate func hasContexts() -> Bool { facts.hasAllocation && facts.flags[.structured] != nil }
}
