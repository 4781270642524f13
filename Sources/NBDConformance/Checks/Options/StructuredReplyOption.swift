import NBDProtocol

/// *Option types*: `NBD_OPT_STRUCTURED_REPLY`.
extension Suite {
  static let structuredReplyOption: [Check] = [
    Check("OPT-066") { p in
      let session = try p.haggling()
      try p.breaking(session) {
        let answer = try session.option(.structuredReply, utf8("x"))
        try p.expect(
          answer.final == .invalid || (p.facts.flags[.structured] == nil && answer.final.isError), "NBD_REP_ERR_INVALID",
          answer.summary)
        try p.inSync(session)
      }
    },
    Check("OPT-067") { p in
      let session = try p.haggling()
      try p.breaking(session) {
        let answer = try session.option(.structuredReply, utf8("x"))
        try p.need(answer.final.isError, "NBD_OPT_STRUCTURED_REPLY with data is not refused")
        session.isLicensed = false
        try p.go(session)
        let reply = try session.request(.read, 0, p.facts.unit)
        try p.expect(reply.form == .simple, "a simple reply, as structured ones were refused", "a structured one")
      }
    },
    Check("OPT-068") { p in
      let session = try p.transmission(.structured)
      for length in [p.facts.unit, min(p.facts.size, 65536) / p.facts.unit * p.facts.unit] {
        let reply = try session.request(.read, 0, length)
        try p.expect(reply.form == .structured, "a structured reply to a read of \(length) bytes", "a simple one")
      }
    },
    Check("OPT-069") { p in
      let session = try p.transmission(.simple)
      for number: UInt16 in [0, 99] {
        let reply = try session.request(number: number, 0, number == 0 ? p.facts.unit : 0)
        try p.expect(reply.form == .simple, "a simple reply to command \(number)", "a structured one")
      }
    },
    Check("OPT-070") { p in
      try p.need(.structured)
      let session = try p.haggling()
      try p.agree(session, .structured)
      _ = try session.option(.list)
      _ = try session.option(.info, p.information([3]))
      if !p.facts.acceptsAnyName { _ = try session.option(.go, p.information(name: Probe.strangeName)) }
      try p.go(session)
      let reply = try session.request(.read, 0, p.facts.unit)
      try p.expect(reply.form == .structured, "structured replies, as agreed before other options", "simple ones")
    },
    Check("OPT-071") { p in
      let flags = try p.need(p.facts.flags[.simple], "no way into the transmission phase")
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_GO")
      let session = try p.haggling()
      let answer = try session.option(.info, p.information([0, 3]))
      let offered = (answer.export?.flags ?? flags) & (1 << 7 | 1 << 12)
      try p.expect(offered == 0, "neither SEND_DF nor BLOCK_STATUS_PAYLOAD before structured replies", "flags \(hex(offered))")
    },
  ]
}
