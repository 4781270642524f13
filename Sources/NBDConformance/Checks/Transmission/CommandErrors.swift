import NBDProtocol

/// *Error values*: commands and flags that a server does not know, and the numbers that it answers with.
extension Suite {
  static let commandErrors: [Check] = [
    Check("TX-059") { p in
      let session = try p.transmission()
      for number: UInt16 in [9, 99, 0xffff] {
        for length: UInt64 in [0, 512] {
          let reply = try session.request(number: number, 0, length)
          try p.expect(reply.error == 22, "NBD_EINVAL to command \(number)", reply.summary)
        }
      }
      try p.stillReads(session)
      guard !p.facts.has(.sendResize) else { return }
      try p.breaking(session) {
        for length: UInt64 in [0, 512] {
          // The export's own size: a server that resizes all the same changes nothing.
          let reply = try session.request(number: 8, p.facts.size, length)
          try p.expect(reply.error == 22, "NBD_EINVAL to command 8", reply.summary)
        }
        try p.stillReads(session)
      }
    },
    Check("TX-060") { p in
      let session = try p.transmission()
      let unit = p.facts.unit
      try p.need(size: unit)
      try p.breaking(session) {
        for flag: UInt16 in [1 << 5, 1 << 6, 1 << 15] where flag != 1 << 5 || session.form != .extended {
          for (command, advertised) in Self.flagged where advertised.map(p.facts.has) ?? true {
            let payload = command == .write ? Probe.pattern(Int(unit), 91) : []
            let reply = try session.request(
              number: command.rawValue, flags: flag, 0, command == .flush ? 0 : unit, payload: payload)
            try p.expect(reply.error == 22, "NBD_EINVAL to \(command) with flag \(hex(flag))", reply.summary)
          }
        }
        try p.stillReads(session)
      }
    },
    Check("TX-061") { p in
      let session = try p.transmission(p.facts.flags[.structured] != nil ? .structured : .simple)
      let unit = p.facts.unit
      try p.need(size: unit)
      var requests: [(Command, CommandFlags)] = [
        (.read, .noHole), (.read, .requestOne), (.read, .fastZero), (.write, .noHole), (.write, .dontFragment),
      ]
      if p.facts.has(.sendWriteZeroes) { requests.append((.writeZeroes, .dontFragment)) }
      try p.breaking(session) {
        for (command, flags) in requests {
          let payload = command == .write ? Probe.pattern(Int(unit), 93) : []
          let reply = try session.request(command, flags: flags, 0, unit, payload: payload)
          try p.expect(reply.error == 22, "NBD_EINVAL to \(command) with flag \(hex(flags.rawValue))", reply.summary)
        }
        try p.stillReads(session)
      }
    },
    Check("TX-062") { p in
      let session = try p.transmission()
      try p.need(size: p.facts.unit)
      try p.breaking(session) {
        let reply = try session.request(.read, flags: .dontFragment, 0, p.facts.unit)
        try p.expect(reply.error == 22, "NBD_EINVAL to a read with DF, as structured replies were not agreed", reply.summary)
        try p.stillReads(session)
      }
    },
    .observed("TX-063") { p in _ = try p.transmission().request(number: 99) },
    .observed("TX-064") { p in _ = try p.transmission().request(number: 99) },
    .observed("TX-065") { p in _ = try p.transmission().request(number: 99) },
    .observed("TX-066") { p in _ = try p.transmission().request(number: 99) },
  ]

  /// Commands, and what has to be advertised for each.
  private static let flagged: [(Command, TransmissionFlags?)] = [
    (.read, nil), (.write, nil), (.flush, .sendFlush), (.trim, .sendTrim), (.writeZeroes, .sendWriteZeroes), (.cache, .sendCache),
  ]

  static let connections: [Check] = [
    Check("TX-070") { p in
      try p.need(.canMultiConn, "NBD_FLAG_CAN_MULTI_CONN")
      try p.needCompanions()
      let unit = p.facts.unit
      try p.need(size: unit)
      let one = try p.transmission()
      let other = try p.transmission()
      _ = try p.read(other, 0, Int(unit))
      if p.facts.has(.sendFlush) {
        try p.write(one, 0, Probe.pattern(Int(unit), 101))
        _ = try one.request(.flush)
        try p.expect(
          p.read(other, 0, Int(unit)) == Probe.pattern(Int(unit), 101), "what was written and flushed on another connection",
          "other data")
      }
      if p.facts.has(.sendFUA) {
        try p.write(one, 0, Probe.pattern(Int(unit), 102), flags: .fua)
        try p.expect(
          p.read(other, 0, Int(unit)) == Probe.pattern(Int(unit), 102), "what was written with FUA on another connection",
          "other data")
      }
    },
    Check("TX-071") { p in
      try p.needAbsent(.canMultiConn, "NBD_FLAG_CAN_MULTI_CONN")
      try p.need(!p.target.hasServerForEachConnection, "each connection has a server of its own")
      let one = try p.transmission()
      p.keepSessions()
      // The second may be refused, or wait: the first must not suffer.
      if let other = try? p.connect() {
        _ = other.stream.hasMore(within: p.settings.quiet)
        other.leave()
      }
      try p.stillReads(one)
    },
  ]
}
