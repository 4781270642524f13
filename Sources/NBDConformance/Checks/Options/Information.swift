import NBDProtocol

/// *Option types*: `NBD_OPT_INFO` and `NBD_OPT_GO`; *Option reply types*: `NBD_REP_INFO`.
extension Suite {
  static let information: [Check] = [
    Check("OPT-035") { p in
      for option in [OptionType.info, .go] {
        let answer = try p.haggling().option(option, p.information())
        try p.expect(answer.final != .unsupported, "\(option) to be implemented", answer.summary)
      }
    },
    Check("OPT-036") { p in
      let answer = try p.informed([])
      try p.expect(answer.itemTypes.contains(.export), "NBD_INFO_EXPORT before NBD_REP_ACK", answer.summary)
    },
    .observed("OPT-037") { p in _ = try p.informed([0]) },
    Check("OPT-038") { p in
      let answer = try p.informed([1])
      let names = answer.data(.info).filter { InfoType($0.span.bytes) == .name }
      try p.need(!names.isEmpty, "the server sends no NBD_INFO_NAME")
      try p.expect(
        names.allSatisfy { Session.isString(Array($0.dropFirst(2))) }, "a name in UTF-8 without NUL", shown(names[0].dropFirst(2)))
    },
    Check("OPT-039") { p in
      let servers = try p.need(p.facts.servers, "the server does not list its exports")
      try p.need(!p.facts.acceptsAnyName, "the server accepts any name")
      let answer = try p.informed([1])
      let name: [UInt8]? = answer.items.lazy.compactMap { if case .name(let name) = $0 { name } else { nil } }.first
      let canonical = try p.need(name, "the server sends no NBD_INFO_NAME")
      try p.expect(servers.contains { $0.name == canonical }, "one of the listed names", shown(canonical))
    },
    Check("OPT-040") { p in
      let answer = try p.informed([2])
      let text: [UInt8]? = answer.items.lazy.compactMap { if case .description(let text) = $0 { text } else { nil } }.first
      let description = try p.need(text, "the server sends no NBD_INFO_DESCRIPTION")
      let listed = p.facts.servers?.first { $0.name == p.facts.exportName }
      let server = try p.need(listed, "the export is not listed under this name")
      try p.expect(
        server.description == description, "the description that NBD_OPT_LIST gives, \(shown(server.description))",
        shown(description))
    },
    .observed("OPT-041") { p in _ = try p.informed([3]) },
    Check("OPT-042") { p in
      let types = try p.informed([0, 1, 2, 3]).itemTypes
      try p.expect(Set(types).count == types.count, "each kind of information once", "\(types)")
    },
    Check("OPT-043") { p in
      let plain = try p.informed([3])
      let session = try p.haggling()
      let strange = try session.option(.info, p.information([99, 0xffff, 3]))
      try p.expect(
        strange.isAcknowledged && Set(strange.replies) == Set(plain.replies),
        "the same answer as without unknown requests: \(plain.summary)",
        strange.summary)
    },
    Check("OPT-044") { p in
      let answer = try p.informed([])
      try p.expect(
        answer.replies.dropLast().allSatisfy { $0.type == .info }, "NBD_REP_INFO, whatever about, and then NBD_REP_ACK",
        answer.summary)
    },
    Check("OPT-045") { p in
      let session = try p.haggling()
      let answer = try session.option(.info, p.information([3] + (4...1003)))
      try p.expect(answer.isAcknowledged, "NBD_REP_ACK to 1000 requests for unknown information", answer.summary)
      try p.inSync(session)
    },
    Check("OPT-052") { p in
      let session = try p.haggling()
      let info = try session.option(.info, p.information([0, 1, 2, 3]))
      try p.need(info.isAcknowledged, "NBD_OPT_INFO is refused")
      let go = try session.option(.go, p.information([0, 1, 2, 3]))
      try p.expect(
        go.replies.map(\.data).sorted { $0.lexicographicallyPrecedes($1) }
          == info.replies.map(\.data).sorted { $0.lexicographicallyPrecedes($1) },
        "what NBD_OPT_INFO said: \(info.summary)", go.summary)
    },
    Check("OPT-053") { p in
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_GO")
      let session = try p.haggling(flags: UInt32(p.facts.handshakeFlags & 1))
      try p.go(session)
      try p.expect(session.isQuiet(), "nothing behind NBD_REP_ACK", "more bytes")
      try p.stillReads(session)
    },
    Check("OPT-054") { p in
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_GO")
      let session = try p.haggling()
      let read = session.prepare(Command.read.rawValue, 0, p.facts.unit)
      try session.send(Session.encoded(.go, p.information([3])) + read.bytes, "NBD_OPT_GO and NBD_CMD_READ in one piece")
      let answer = try session.optionAnswer(.go)
      guard answer.isAcknowledged else { throw p.broken("NBD_REP_ACK to NBD_OPT_GO", answer.summary) }
      let reply = try session.reply(to: read.cookie)
      try p.expect(reply.isSuccess, "the data of a read", reply.summary)
    },
    Check("OPT-055") { p in
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_GO")
      try p.need(!p.facts.acceptsAnyName, "the server accepts any name")
      let session = try p.haggling()
      let refused = try session.option(.go, p.information(name: Probe.strangeName))
      try p.expect(refused.final.isError, "an error to NBD_OPT_GO for an unknown export", refused.summary)
      let answer = try session.option(.go, p.information([3]))
      try p.expect(answer.isAcknowledged, "NBD_REP_ACK to NBD_OPT_GO after one that failed", answer.summary)
      try p.stillReads(session)
    },
    Check("OPT-056") { p in
      let session = try p.haggling()
      try p.need(session.option(.info, p.information([3])).isAcknowledged, "NBD_OPT_INFO is refused")
      let answer = try session.option(.list)
      try p.expect(answer.final != .unsupported, "the option haggling to go on after NBD_OPT_INFO", answer.summary)
      try p.go(session)
    },
    Check("OPT-057") { p in
      let answer = try p.haggling().option(.info, p.information(name: []))
      let isFine = answer.isAcknowledged || [.unknownExport, .policy, .tlsRequired, .blockSizeRequired].contains(answer.final)
      try p.expect(isFine, "the default export, or NBD_REP_ERR_UNKNOWN", answer.summary)
    },
    Check("OPT-062") { p in
      for option in [OptionType.info, .go] {
        let answer = try p.haggling().option(option, p.information([3]))
        try p.expect(
          answer.final != .blockSizeRequired, "no NBD_REP_ERR_BLOCK_SIZE_REQD to \(option) that asks for block sizes",
          answer.summary)
      }
    },
    Check("OPT-063") { p in
      let answer = try p.haggling().option(.info, p.information([]))
      try p.need(answer.final == .blockSizeRequired, "the server does not insist on block sizes")
      try p.expect(answer.itemTypes.contains(.blockSize), "NBD_INFO_BLOCK_SIZE before NBD_REP_ERR_BLOCK_SIZE_REQD", answer.summary)
    },
    Check("OPT-064") { p in
      let blocks = try p.need(p.facts.blocks, "the server advertises no block sizes")
      try p.need(blocks.minimum == 1 && blocks.maximum >= 1 << 25, "the server has block sizes of its own")
      let answer = try p.haggling().option(.go, p.information([]))
      try p.expect(answer.final != .blockSizeRequired, "no NBD_REP_ERR_BLOCK_SIZE_REQD", answer.summary)
    },
    Check("OPT-065") { p in
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_GO")
      try p.need(p.facts.minimum > 1, "the server has no minimum block size above 1")
      let answer = try p.haggling().option(.go, p.information([]))
      try p.expect(answer.isAcknowledged, "NBD_REP_ACK to a client that does not ask for block sizes", answer.summary)
    },
  ]
}

extension Probe {
  /// A successful answer to `NBD_OPT_INFO`.
  fileprivate func informed(_ items: [UInt16]) throws -> OptionAnswer {
    try need(facts.hasGo, "the server does not know NBD_OPT_INFO")
    let answer = try haggling().option(.info, information(items))
    try need(answer.isAcknowledged, "NBD_OPT_INFO is answered with \(answer.summary)")
    return answer
  }
}
