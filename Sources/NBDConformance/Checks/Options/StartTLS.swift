import NBDProtocol

/// *Option types*: `NBD_OPT_STARTTLS`; *Server-side requirements*: what can be seen of them before TLS begins.
extension Suite {
  static let startTLS: [Check] = [
    Check("TLS-001") { p in
      try p.need(p.facts.tls == .none, "the server has TLS")
      let session = try p.haggling()
      let answer = try session.option(.startTLS)
      let isFine = [.unsupported, .policy, .platform, .invalid].contains(answer.final)
      try p.expect(isFine, "an error such as NBD_REP_ERR_POLICY or NBD_REP_ERR_UNSUP", answer.summary)
      try p.inSync(session)
    },
    .observed("TLS-002") { p in
      try p.need(p.facts.tls == .none, "the server has TLS")
      _ = try p.haggling().option(OptionType(rawValue: 0x7777))
    },
    Check("TLS-003") { p in
      for flags: UInt32 in [0, 2] where UInt32(p.facts.handshakeFlags) & flags == flags {
        let session = try p.haggling(flags: flags, isPlain: true)
        try p.breaking(session) {
          let answer = try session.option(.startTLS)
          try p.expect(answer.final.isError, "an error, or the end, as fixed newstyle was not agreed", answer.summary)
        }
      }
    },
    Check("TLS-004") { p in
      try p.needTLS()
      let answer = try p.tlsHaggling().option(.startTLS)
      try p.expect(answer.isAcknowledged, "NBD_REP_ACK", answer.summary)
    },
    Check("TLS-006") { p in
      try p.needForced()
      let options: [(UInt32, [UInt8])] = [
        (3, []), (6, p.information()), (7, p.information()), (8, []), (9, p.contextData([] as [String])),
        (10, p.contextData([] as [String])),
        (11, []), (0x7777, utf8("data")), (6, [0]),
      ]
      let session = try p.tlsHaggling()
      for (number, data) in options {
        let answer = try session.option(OptionType(rawValue: number), data)
        try p.expect(answer.final == .tlsRequired, "NBD_REP_ERR_TLS_REQD to option \(number)", answer.summary)
      }
    },
    Check("TLS-007") { p in
      try p.needForced()
      let answer = try p.tlsHaggling().option(.abort)
      try p.prefer(answer.final != .tlsRequired, "NBD_REP_ACK to NBD_OPT_ABORT (ambiguity A3)", answer.summary)
      try p.expect(answer.isAcknowledged, "NBD_REP_ACK to NBD_OPT_ABORT", answer.summary)
    },
    Check("TLS-008") { p in
      try p.needForced()
      let session = try p.tlsHaggling()
      try session.sendOption(.exportName, p.facts.exportName)
      let (reply, isEnd) = session.end(134)
      try p.expect(
        isEnd && reply.isEmpty, "the end of the connection", reply.isEmpty ? "an open connection" : "\(reply.count) bytes")
    },
    Check("TLS-009") { p in
      try p.needForced()
      for option in [OptionType.info, .go] {
        let answer = try p.tlsHaggling().option(option, p.information([1, 3]))
        try p.expect(answer.replies.count == 1, "one reply, an error", answer.summary)
      }
    },
    Check("TLS-010") { p in
      try p.needTLS()
      let session = try p.tlsHaggling()
      try p.need(session.option(.startTLS).isAcknowledged, "NBD_OPT_STARTTLS is refused")
      try session.sendOption(.list)
      let (reply, _) = session.end(20)
      try p.expect(!reply.starts(with: bytes(Magic.optionReply)), "the end, or an alert of TLS", "an option reply without TLS")
    },
    Check("TLS-012") { p in
      try p.needTLS()
      let session = try p.tlsHaggling()
      try p.need(session.option(.startTLS).isAcknowledged, "NBD_OPT_STARTTLS is refused")
      try session.send(utf8("this is no record of TLS, and no server should take it for one\r\n\r\n"), "garbage instead of TLS")
      let (_, isEnd) = session.end()
      try p.expect(isEnd, "the end of the connection", "an open one")
    },
    Check("TLS-014") { p in
      let name = try p.secretExport()
      for option in [OptionType.info, .go] {
        let session = try p.tlsHaggling()
        let answer = try session.option(option, p.information(name: name))
        try p.expect(answer.final == .tlsRequired, "NBD_REP_ERR_TLS_REQD to \(option) for an export that wants TLS", answer.summary)
        if !p.facts.needsTLS { try p.go(session) }
      }
    },
    Check("TLS-015") { p in
      let name = try p.secretExport()
      let session = try p.tlsHaggling()
      try session.sendOption(.exportName, name)
      let (reply, isEnd) = session.end(134)
      try p.expect(
        isEnd && reply.isEmpty, "the end of the connection", reply.isEmpty ? "an open connection" : "\(reply.count) bytes")
    },
    Check("TLS-016") { p in
      try p.need(p.facts.tls == .selective, "the server does not offer TLS beside plain connections")
      let session = try p.tlsHaggling()
      for number: UInt32 in [3, 8, 0x7777] {
        let answer = try session.option(OptionType(rawValue: number))
        try p.expect(answer.final != .tlsRequired, "no NBD_REP_ERR_TLS_REQD to option \(number)", answer.summary)
      }
    },
    Check("TLS-017") { p in
      try p.need(p.facts.tls == .selective, "the server does not offer TLS beside plain connections")
      try p.need(!p.facts.acceptsAnyName, "the server accepts any name")
      let answer = try p.tlsHaggling().option(.info, p.information(name: Probe.strangeName))
      try p.expect(
        answer.final == .tlsRequired || answer.final == .unknownExport, "NBD_REP_ERR_UNKNOWN or NBD_REP_ERR_TLS_REQD",
        answer.summary)
    },
    Check("TLS-019") { p in
      let name = try p.secretExport()
      let strange = try p.tlsHaggling().option(.info, p.information(name: Probe.strangeName))
      try p.need(strange.final == .tlsRequired, "the server says which exports it does not have")
      let answer = try p.tlsHaggling().option(.info, p.information([1, 2, 3], name: name))
      try p.expect(answer.data(.info).isEmpty, "no NBD_REP_INFO", answer.summary)
    },
    Check("TLS-020") { p in
      let session = try p.tlsHaggling()
      let first = try session.option(.info, p.information())
      _ = try session.option(OptionType(rawValue: 0x7777))
      _ = try session.option(.list)
      let second = try session.option(.info, p.information())
      try p.expect(first.final == second.final, "the same answer as before: \(first.summary)", second.summary)
    },
    Check("TLS-021") { p in
      try p.needTLS()
      let session = try p.tlsHaggling()
      try p.breaking(session) {
        let answer = try session.option(.startTLS, utf8("zz"))
        try p.expect(answer.final.isError, "an error such as NBD_REP_ERR_INVALID", answer.summary)
        // Behind the error it may hang up, too.
        let again = try session.option(.startTLS)
        try p.expect(again.isAcknowledged, "NBD_REP_ACK to NBD_OPT_STARTTLS without data after that", again.summary)
      }
    },
  ]
}

extension Probe {
  func needTLS() throws { try need(facts.tls != .none, "the server has no TLS") }
  fileprivate func needForced() throws { try need(facts.tls == .forced, "the server does not insist on TLS") }

  /// In the haggling and in the clear, with a server that may want TLS.
  func tlsHaggling() throws -> Session { try haggling(isPlain: true) }

  /// A listed export that a server wants TLS for, while our own does not.
  fileprivate func secretExport() throws -> [UInt8] {
    try need(facts.tls == .selective, "the server does not offer TLS beside plain connections")
    for server in facts.servers ?? [] {
      if try tlsHaggling().option(.info, information(name: server.name)).final == .tlsRequired { return server.name }
    }
    throw Finding(kind: .skipped, found: "no listed export wants TLS")
  }
}
