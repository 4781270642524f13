import NBDProtocol

/// *Fixed newstyle negotiation*, *Termination of the session during option haggling*: what is true of every option.
extension Suite {
  /// Numbers that no option has.
  private static let unknownOptions: [UInt32] = [0, 4, 12, 0x7fff, 0x8000_0000, 0xffff_ffff]

  static let optionReplies: [Check] = [
    .observed("OPT-001") { p in _ = try p.haggling().option(.list) },
    .observed("OPT-002") { p in
      let session = try p.haggling()
      for number: UInt32 in [3, 0x7fff, 0xffff_ffff] { _ = try session.option(OptionType(rawValue: number)) }
      _ = try session.option(.info, p.information())
    },
    Check("OPT-003") { p in
      let session = try p.haggling()
      _ = try session.option(.list)
      try p.expect(session.isQuiet(), "nothing behind the final reply to NBD_OPT_LIST", "more bytes")
      _ = try session.option(.info, p.information())
      try p.expect(session.isQuiet(), "nothing behind the final reply to NBD_OPT_INFO", "more bytes")
    },
    Check("OPT-004") { p in
      let session = try p.haggling()
      for number in unknownOptions where number != 4 {
        let answer = try session.option(OptionType(rawValue: number))
        try p.expect(answer.final == .unsupported, "NBD_REP_ERR_UNSUP to option \(number)", answer.summary)
      }
    },
    Check("OPT-005") { p in
      for count in [100, 4096, 65536, 1 << 20] {
        let session = try p.haggling()
        let answer = try session.option(OptionType(rawValue: 0x7fff), Probe.pattern(count))
        try p.expect(answer.final.isError, "an error to an unknown option with \(count) bytes", answer.summary)
        try p.inSync(session)
      }
    },
    Check("OPT-006") { p in
      let session = try p.haggling()
      let answer = try session.option(OptionType(rawValue: 4), Probe.pattern(8))
      try p.expect(answer.final == .unsupported, "NBD_REP_ERR_UNSUP to option 4", answer.summary)
      try p.inSync(session)
    },
    .observed("OPT-007") { p in _ = try p.haggling().option(.list) },
    .observed("OPT-008") { p in _ = try p.haggling().option(OptionType(rawValue: 0x7fff)) },
    Check("OPT-009") { p in
      let session = try p.haggling()
      for number: UInt32 in [0x7ffe, 0x7ffd, 0x7ffc] { _ = try session.option(OptionType(rawValue: number)) }
      _ = try session.option(.info, p.information(name: Probe.strangeName))
      for _ in 0..<5 { _ = try session.option(.list) }
      try p.inSync(session)
    },
    Check("OPT-010") { p in
      try p.need(.structured)
      let session = try p.haggling()
      try p.agree(session, .structured)
      let answer = try session.option(.structuredReply)
      try p.expect(answer.isAcknowledged || answer.final == .invalid, "NBD_REP_ACK or NBD_REP_ERR_INVALID", answer.summary)
      try p.go(session)
      let reply = try session.request(.read, 0, p.facts.unit)
      try p.expect(reply.form == .structured, "structured replies, as agreed first", "simple replies")
    },
    Check("OPT-011", isRisky: true) { p in
      let session = try p.haggling()
      try session.sendOption(OptionType(rawValue: 0x7fff), length: .max)
      // Waiting for 4 GiB, an error and the end are all well: only that the server goes on counts.
      _ = session.end(4116)
      session.leave()
      try p.livesOn()
    },
    .observed("OPT-013") { p in
      let session = try p.haggling()
      _ = try session.option(.list)
      _ = try session.option(.info, p.information([1, 2]))
      _ = try session.option(OptionType(rawValue: 0x7fff))
    },
    Check("OPT-072") { p in
      let session = try p.haggling()
      for count in 1...18 {
        let answer = try session.option(.info, p.information([3]))
        if !answer.isAcknowledged, answer.final != .blockSizeRequired, p.facts.hasGo {
          throw p.broken("NBD_REP_ACK to option \(count) of a session", answer.summary)
        }
      }
      try p.go(session)
      try p.stillReads(session)
    },
    Check("OPT-073", isRisky: true) { p in
      let session = try p.haggling()
      var count = 0
      try p.breaking(session) {
        while count < 200 {
          _ = try session.option(.info, p.information())
          count += 1
        }
      }
      try p.expect(count == 200 || count >= 20, "20 options or more", "the end of the connection after \(count)")
    },
  ]
}
