import NBDProtocol

/// *Request types*: `NBD_CMD_BLOCK_STATUS`; *Structured reply types*: `NBD_REPLY_TYPE_BLOCK_STATUS`.
extension Suite {
  static let blockStatus: [Check] = [
    Check("MC-032") { p in
      let all = try p.need(p.facts.contexts, "the server has no metadata contexts")
      try p.need(!all.isEmpty, "the list is empty")
      let session = try p.transmission(.structured, contexts: Array(all.prefix(16)))
      try p.need(!session.contexts.isEmpty, "no context was selected")
      let reply = try session.request(.blockStatus, 0, p.facts.unit)
      guard reply.isSuccess else { throw p.broken("the status of \(p.facts.unit) bytes", reply.summary) }
      let ids = reply.statuses.map(\.context)
      try p.expect(
        reply.form == .structured && ids.count == session.contexts.count && Set(ids) == Set(session.contexts.keys),
        "one status for each of the contexts \(session.contexts.keys.sorted())", "\(ids)")
    },
    .observed("MC-033") { p in try p.statuses() },
    .observed("MC-034") { p in try p.statuses() },
    .observed("MC-035") { p in try p.statuses(.requestOne) },
    Check("MC-036") { p in
      let session = try p.allocation()
      var offset: UInt64 = 0
      let end = min(p.facts.size / p.facts.minimum * p.facts.minimum, 64 << 20)
      for _ in 0..<200 where offset < end {
        let reply = try session.request(.blockStatus, offset, min(end - offset, 1 << 26))
        guard let extents = reply.statuses.first?.extents, reply.isSuccess else {
          throw p.broken("the status of the range", reply.summary)
        }
        let length = extents.reduce(UInt64(0)) { $0 &+ $1.length }
        try p.expect(length > 0, "some progress at \(offset)", "none")
        try p.prefer(
          offset &+ length <= p.facts.size, "no status beyond the end (ambiguity A15)",
          "\(offset &+ length) of \(p.facts.size) bytes")
        offset = offset &+ length
      }
    },
    .observed("MC-037") { p in try p.statuses() },
    .observed("MC-038") { p in try p.statuses() },
    .observed("MC-039") { p in try p.statuses() },
    Check("MC-040") { p in
      let session = try p.allocation()
      try p.breaking(session) {
        for (offset, length) in p.facts.outside {
          let reply = try session.request(.blockStatus, offset, length)
          try p.expect(reply.error == 22, "NBD_EINVAL to \(length) bytes at \(offset)", reply.summary)
        }
      }
    },
    Check("MC-041") { p in
      let session = try p.allocation()
      try p.staying(session) {
        _ = try session.request(.blockStatus, 0, 0)
        try p.stillReads(session)
      }
    },
    Check("MC-051") { p in
      try p.need(.sendFUA, "NBD_CMD_FLAG_FUA")
      let session = try p.allocation()
      let reply = try session.request(.blockStatus, flags: .fua, 0, p.facts.unit)
      try p.expect(reply.isSuccess, "success with NBD_CMD_FLAG_FUA", reply.summary)
    },
    Check("MC-052") { p in
      let all = try p.need(p.facts.contexts, "the server has no metadata contexts")
      try p.need(all.count > 1, "the server has one context only")
      let session = try p.transmission(.structured, contexts: Array(all.prefix(16)))
      let reply = try session.request(.blockStatus, flags: .requestOne, 0, p.facts.unit)
      let ids = reply.statuses.map(\.context)
      try p.expect(Set(ids).isSubset(of: Set(session.contexts.keys)), "statuses of the contexts selected, in any order", "\(ids)")
    },
  ]

  static let allocation: [Check] = [
    .observed("MC-046") { p in try p.statuses() },
    Check("MC-047") { p in
      let session = try p.allocation()
      let length = min(p.facts.size / p.facts.minimum * p.facts.minimum, 64 << 20)
      let reply = try session.request(.blockStatus, 0, length)
      var offset: UInt64 = 0
      for extent in reply.statuses.first?.extents.prefix(20) ?? [] {
        let count = Int(min(extent.length, 65536, p.facts.size - min(p.facts.size, offset)))
        if extent.status & 2 != 0, count > 0 {
          let data = try p.read(session, offset, count)
          try p.expect(data.allSatisfy { $0 == 0 }, "zeros at \(offset), as NBD_STATE_ZERO says", "other bytes")
        }
        offset = offset &+ extent.length
      }
    },
    Check("MC-048") { p in
      let session = try p.allocation()
      let reply = try session.request(.blockStatus, 0, min(p.facts.size / p.facts.minimum * p.facts.minimum, 1 << 26))
      var offset: UInt64 = 0
      for extent in reply.statuses.first?.extents ?? [] {
        if extent.status & 1 == 0, p.facts.size - offset >= p.facts.unit, extent.length >= p.facts.unit {
          let written = try session.request(.write, offset, p.facts.unit, payload: Probe.pattern(Int(p.facts.unit)))
          return try p.expect(written.error != 28, "no NBD_ENOSPC where NBD_STATE_HOLE is clear", written.summary)
        }
        offset = offset &+ extent.length
        guard offset < p.facts.size else { break }
      }
      throw Finding(kind: .skipped, found: "the export has holes only")
    },
    Check("MC-049") { p in
      let session = try p.allocation()
      let length = 65536 / p.facts.unit * p.facts.unit
      try p.need(size: length)
      try p.write(session, 0, Array(repeating: 0x55, count: Int(length)))
      let reply = try session.request(.blockStatus, 0, length)
      let extents = reply.statuses.first?.extents ?? []
      try p.expect(extents.allSatisfy { $0.status & 2 == 0 }, "no NBD_STATE_ZERO over data", "NBD_STATE_ZERO")
    },
    Check("MC-050") { p in
      try p.need(.sendWriteZeroes, "NBD_CMD_WRITE_ZEROES")
      let session = try p.allocation()
      let length = 65536 / p.facts.unit * p.facts.unit
      try p.need(size: length)
      try p.write(session, 0, Probe.pattern(Int(length)))
      try p.need(session.request(.writeZeroes, 0, length).isSuccess, "NBD_CMD_WRITE_ZEROES fails")
      let extents = try session.request(.blockStatus, 0, length).statuses.first?.extents ?? []
      try p.expect(!extents.isEmpty, "a status after NBD_CMD_WRITE_ZEROES", "none")
      let data = try p.read(session, 0, Int(length))
      try p.expect(data.allSatisfy { $0 == 0 }, "zeros, whatever the status", "other bytes")
    },
  ]
}

extension Probe {
  /// In the transmission phase, with base:allocation.
  func allocation() throws -> Session {
    try need(facts.hasAllocation, "the server has no base:allocation")
    try need(size: facts.unit)
    return try transmission(.structured, contexts: ["base:allocation"])
  }

  /// Asks for the status of several lengths.
  fileprivate func statuses(_ flags: CommandFlags = []) throws {
    let session = try allocation()
    let size = min(facts.size, 1 << 31) / facts.minimum * facts.minimum
    for length in [facts.unit, 8 * facts.unit, size / 2 / facts.minimum * facts.minimum, size] where length > 0 && length <= size {
      let reply = try session.request(.blockStatus, flags: flags, 0, length)
      guard reply.isSuccess else { throw broken("the status of \(length) bytes", reply.summary) }
    }
  }
}
