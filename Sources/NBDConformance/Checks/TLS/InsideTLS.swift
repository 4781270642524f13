import NBDProtocol

/// What happens inside TLS, and what of the time before it is forgotten. Where TLS was asked for, all other checks run inside it,
/// too.
extension Suite {
  static let insideTLS: [Check] = [
    Check("TLS-005") { p in
      try p.needInside()
      let session = try p.haggling()
      let answer = try session.option(.startTLS)
      try p.expect(answer.final == .invalid, "NBD_REP_ERR_INVALID to NBD_OPT_STARTTLS inside TLS", answer.summary)
      try p.inSync(session)
    },
    Check("TLS-011") { p in
      try p.needInside()
      let session = try p.tlsHaggling()
      let option = Session.encoded(.startTLS, [])
      try session.send(option + Session.encoded(.list, []), "NBD_OPT_STARTTLS, and NBD_OPT_LIST behind it in the clear")
      try p.breaking(session) {
        let answer = try session.optionAnswer(.startTLS)
        try p.need(answer.isAcknowledged, "NBD_OPT_STARTTLS is refused")
        guard session.isQuiet() else {
          let (reply, _) = session.end(OptionReplyHeader.size)
          try p.expect(!reply.starts(with: bytes(Magic.optionReply)), "the end, or an alert of TLS", "an option reply without TLS")
          return
        }
        // That TLS does not begin is the best that a server can do.
        guard try p.begins(session) == nil else { return }
        try session.sendOption(.info, p.information())
        let head = try session.receive(OptionReplyHeader.size, "a reply to NBD_OPT_INFO")
        let option = OptionReplyHeader(head.span.bytes)?.option
        try p.expect(
          option == .info, "no reply inside TLS to what came before it",
          "a reply to \(option.map { "\($0)" } ?? "no option"), which came in the clear")
      }
    },
    .observed("TLS-013") { p in
      try p.needInside()
      let session = try p.haggling()
      let options: [(UInt32, [UInt8])] = [
        (3, []), (6, p.information([1, 2, 3])), (8, []), (9, p.contextData([] as [String])), (10, p.contextData([] as [String])),
        (0x7f13, utf8("data")), (6, p.information(name: Probe.strangeName)),
      ]
      for (number, data) in options { _ = try session.option(OptionType(rawValue: number), data) }
      try p.go(session)
    },
    Check("TLS-018") { p in
      try p.needInside()
      let before = try p.tlsHaggling().option(.list)
      try p.need(before.isAcknowledged, "before TLS there is no list")
      let inside = try p.haggling().option(.list)
      try p.need(inside.isAcknowledged, "inside TLS there is no list")
      let names = Set(inside.servers.map(\.name))
      let strange = before.servers.map(\.name).first { !names.contains($0) }
      try p.expect(strange == nil, "the exports that are listed before TLS, and perhaps more", "no \(shown(strange ?? []))")
    },
    Check("TLS-022") { p in
      let session = try p.agreedBefore(.structuredReply)
      try p.encrypt(session)
      if p.facts.contexts != nil {
        let answer = try session.option(.setMetaContext, p.contextData(["base:allocation"]))
        try p.expect(
          answer.final.isError, "NBD_REP_ERR_INVALID to NBD_OPT_SET_META_CONTEXT, as there are no structured replies",
          answer.summary)
      }
      try p.expectSimpleReply(session)
    },
    Check("TLS-023") { p in
      try p.need(p.facts.hasAllocation, "the server has no base:allocation")
      let session = try p.agreedBefore(.structuredReply)
      let chosen = try session.option(.setMetaContext, p.contextData(["base:allocation"]))
      try p.need(chosen.isAcknowledged && !chosen.contexts.isEmpty, "no context can be selected before TLS")
      try p.encrypt(session)
      try p.agree(session, .structured)
      try p.go(session)
      try p.breaking(session) {
        let reply = try session.request(.blockStatus, 0, p.facts.unit)
        // Which error is a SHOULD: MC-031.
        try p.expect(!reply.isSuccess, "an error to NBD_CMD_BLOCK_STATUS, as no context was selected inside TLS", reply.summary)
      }
    },
  ]

  static let extendedBeforeTLS: [Check] = [
    Check("EH-025") { p in
      let session = try p.agreedBefore(.extendedHeaders)
      try p.encrypt(session)
      try p.expectSimpleReply(session)
    }
  ]

  static let versionsOfTLS: [Check] = [
    Check("TLS-024") { p in
      try p.needInside()
      let (session, error) = try p.agreeing(on: .only12)
      try p.expect(error == nil, "TLS 1.2, where nothing else is offered", error ?? "")
      try p.inSync(session)
    },
    Check("TLS-025") { p in
      try p.needInside()
      try p.need(TLSVersions.only13.canBeOffered, "this machine's GnuTLS has no TLS 1.3")
      let (session, error) = try p.agreeing(on: .only13)
      try p.expect(error == nil, "TLS 1.3, where nothing else is offered", error ?? "")
      try p.inSync(session)
    },
    Check("TLS-026") { p in
      try p.needInside()
      try p.need(TLSVersions.old.canBeOffered, "this machine's GnuTLS cannot offer TLS 1.0 and 1.1")
      let (session, error) = try p.agreeing(on: .old)
      try p.expect(error != nil, "no agreement where only TLS 1.0 and 1.1 are offered", session.stream.protection ?? "")
    },
    Check("TLS-048") { p in
      try p.needInside()
      try p.need(TLSVersions.every.canBeOffered, "this machine's GnuTLS cannot offer TLS 1.0 and 1.1")
      let (session, error) = try p.agreeing(on: .every)
      let chosen = session.stream.protection ?? error ?? ""
      let isFine = chosen.hasPrefix("TLS1.2") || chosen.hasPrefix("TLS1.3")
      try p.expect(isFine, "TLS 1.2 or later, where TLS 1.0 to 1.3 are offered", chosen)
    },
  ]

  static let endOfTLS: [Check] = [
    Check("TLS-027") { p in
      try p.needInside()
      try p.repeatedly { _ in
        let session = try p.transmission()
        try session.sendRequest(Command.disconnect.rawValue)
        try p.expectCloseNotify(session, "NBD_CMD_DISC")
        session.endOutput()
        try p.expect(
          session.isHungUp(within: p.settings.timeout), "the end of the connection behind that of TLS", "an open connection")
      }
    },
    Check("TLS-028") { p in
      try p.needInside()
      let session = try p.haggling()
      try p.acknowledged(session, .abort)
      // It may leave the end to us (ambiguity A38).
      if !session.isHungUp(within: p.settings.quiet) { session.endOutput() }
      try p.expectCloseNotify(session, "NBD_OPT_ABORT")
    },
    Check("TLS-030") { p in
      try p.needInside()
      let length = min(1 << 20, p.facts.end, p.facts.maximum) / p.facts.minimum * p.facts.minimum
      try p.need(length >= 1 << 16, "the export is smaller than 64 KiB")
      let session = try p.haggling()
      _ = try session.option(.list)
      _ = try session.option(.info, p.information())
      if p.facts.flags[.structured] != nil { try p.agree(session, .structured) }
      try p.go(session)
      // Many records, which begin anywhere in it.
      let data = Probe.pattern(Int(length), 30)
      try p.write(session, 0, data)
      try p.expect(p.read(session, 0, Int(length)) == data, "the \(length) bytes that were written", "other bytes")
    },
  ]
}

extension Probe {
  /// The checks run inside TLS.
  fileprivate func needInside() throws {
    try needTLS()
    try need(facts.usesTLS, "TLS was not asked for (an nbds: URI, a key or certificates)")
  }

  /// Begins TLS. Why it does not begin; nil where it does.
  fileprivate func begins(_ session: Session, _ versions: TLSVersions = .current) throws -> String? {
    let credentials = try need(target.tls, "TLS was not asked for")
    guard let error = session.beginTLS(credentials, versions) else { return nil }
    if case .timedOut = error { throw broken("TLS, or an alert, or the end of the connection", "\(error)") }
    return "\(error)"
  }

  /// Asks for TLS in these versions: the session, and why TLS does not begin, nil where it does.
  fileprivate func agreeing(on versions: TLSVersions) throws -> (Session, String?) {
    let session = try tlsHaggling()
    try acknowledged(session, .startTLS)
    return (session, try begins(session, versions))
  }

  /// In the clear, where `option` was agreed on, which TLS has to make the server forget.
  fileprivate func agreedBefore(_ option: OptionType) throws -> Session {
    try needInside()
    let session = try tlsHaggling()
    try need(session.option(option).isAcknowledged, "before TLS the server does not agree to \(option)")
    return session
  }

  /// The server has forgotten other replies: neither its flags nor its reply to a read know of them.
  fileprivate func expectSimpleReply(_ session: Session) throws {
    let export = try go(session).export
    let flags = TransmissionFlags(rawValue: export?.flags ?? 0)
    try expect(!flags.contains(.sendDF), "no NBD_FLAG_SEND_DF, as there are simple replies only", "flags \(hex(flags.rawValue))")
    try need(size: facts.unit)
    try session.sendRequest(Command.read.rawValue, 0, facts.unit)
    // Extended requests are longer: who waits for one is silent.
    let head = session.stream.rest(4)
    session.log(.received, "the start of a reply", [Field("magic", head)])
    try expect(
      head == bytes(Magic.simpleReply), "a simple reply to a compact request", head.isEmpty ? "none" : Field("magic", head).line)
  }

  /// TLS ends before the connection does, and without another byte.
  fileprivate func expectCloseNotify(_ session: Session, _ what: String) throws {
    let (reply, isEnd) = session.end(64)
    try expect(
      isEnd && reply.isEmpty, "the end after \(what)", reply.isEmpty ? "an open connection" : "\(reply.count) bytes")
    try expect(session.stream.breakage == nil, "the end of TLS (close_notify) after \(what)", session.stream.breakage ?? "")
  }
}
