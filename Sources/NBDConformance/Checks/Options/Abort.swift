import NBDProtocol

/// *Option types*: `NBD_OPT_ABORT`.
extension Suite {
  static let abort: [Check] = [
    Check("OPT-014") { p in
      let session = try p.haggling()
      let answer = try session.option(.abort)
      try p.expect(answer.replies.count == 1 && answer.isAcknowledged, "one reply, NBD_REP_ACK", answer.summary)
      // It may stay open until we close it (ambiguity A38), but it has nothing more to say.
      try p.expect(session.isQuiet(), "nothing behind NBD_REP_ACK", "more bytes")
    },
    Check("OPT-015") { p in
      for data in [utf8("bye!"), Probe.pattern(8000)] {
        let answer = try p.haggling().option(.abort, data)
        try p.expect(answer.isAcknowledged, "NBD_REP_ACK to NBD_OPT_ABORT with \(data.count) bytes of data", answer.summary)
      }
    },
    Check("OPT-016") { p in
      try p.need(!p.target.hasServerForEachConnection, "each connection has a server of its own")
      let session = try p.haggling()
      try session.sendOption(.abort)
      session.leave()
      try p.livesOn()
    },
    Check("OPT-017") { p in
      let session = try p.haggling()
      _ = try session.option(.info, p.information())
      let answer = try session.option(.abort)
      try p.expect(answer.final != .unsupported, "NBD_OPT_ABORT to be implemented", answer.summary)
    },
  ]
}
