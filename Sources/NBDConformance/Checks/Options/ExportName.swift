import NBDProtocol

/// *Option types*: `NBD_OPT_EXPORT_NAME`, whose answer is no option reply, and which can only fail by hanging up.
extension Suite {
  static let exportName: [Check] = [
    Check("OPT-025") { p in
      let session = try p.haggling()
      let export = try p.exportName(session, isPadded: p.isPadded)
      try p.expect(
        export.size == p.facts.size, "size \(p.facts.size), and no header of an option reply",
        export.size == Magic.optionReply ? "the magic of an option reply" : "size \(export.size)")
    },
    Check("OPT-026") { p in
      let session = try p.haggling(flags: UInt32(p.facts.handshakeFlags & 1))
      let export = try p.exportName(session, isPadded: true)
      try p.expect(export.padding.allSatisfy { $0 == 0 }, "124 zero bytes", "other bytes")
      try p.stillReads(session)
    },
    Check("OPT-027") { p in
      try p.need(p.facts.handshakeFlags & 3 == 3, "the server does not offer NBD_FLAG_NO_ZEROES")
      let session = try p.haggling(flags: 3)
      _ = try p.exportName(session, isPadded: false)
      try p.expect(session.isQuiet(), "silence behind 10 bytes", "more bytes")
      try p.stillReads(session)
    },
    Check("OPT-028") { p in
      try p.need(p.facts.hasGo, "whether the name is unknown cannot be told without NBD_OPT_INFO")
      try p.need(!p.facts.acceptsAnyName, "the server accepts any name")
      let session = try p.haggling()
      try session.sendOption(.exportName, Probe.strangeName)
      try p.expectRefusal(session, "an unknown name")
    },
    Check("OPT-029") { p in
      let answer = try p.haggling().option(.info, p.information(name: []))
      let session = try p.haggling()
      try session.sendOption(.exportName, [])
      let (reply, isEnd) = session.end(p.isPadded ? 134 : 10)
      guard p.facts.hasGo, answer.final != .blockSizeRequired else { return }
      try p.expect(
        answer.isAcknowledged ? !reply.isEmpty : isEnd,
        "the default export, or its lack, as NBD_OPT_INFO has it: \(answer.summary)",
        isEnd && reply.isEmpty ? "the end of the connection" : "\(reply.count) bytes")
    },
    Check("OPT-030") { p in
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_INFO")
      try p.needExportName()
      let session = try p.haggling()
      try session.sendOption(.exportName, p.facts.exportName)
      let reply = session.stream.rest(10)
      try p.expect(reply.count == 10, "an export, as NBD_OPT_GO gives it", "\(reply.count) bytes")
      _ = session.isQuiet()
      try p.expect(!session.stream.hasEnded, "a connection that goes on", "its end")
    },
    Check("OPT-031") { p in
      try p.need(!p.facts.acceptsAnyName, "the server accepts any name")
      let session = try p.haggling()
      try session.sendOption(.exportName, p.facts.exportName + [0] + utf8("x"))
      try p.expectRefusal(session, "a name with a NUL in it")
    },
    Check("OPT-032") { p in
      let session = try p.haggling()
      try session.sendOption(.exportName, Array(repeating: UInt8(ascii: "a"), count: 4097))
      try p.expectRefusal(session, "a name of 4097 bytes")
    },
    Check("OPT-033") { p in
      let go = try p.need(p.facts.flags[.simple], "no way into the transmission phase")
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_GO")
      let session = try p.haggling()
      let export = try p.exportName(session, isPadded: p.isPadded)
      try p.expect(
        export.size == p.facts.size && export.flags == go, "size \(p.facts.size) and flags \(hex(go)), as NBD_OPT_GO gives them",
        "size \(export.size), flags \(hex(export.flags))")
    },
    Check("OPT-034") { p in
      let answer = try p.haggling().option(.info, p.information())
      try p.need(answer.final == .blockSizeRequired, "the server does not insist on block sizes")
      let session = try p.haggling()
      try session.sendOption(.exportName, p.facts.exportName)
      let (reply, isEnd) = session.end(p.isPadded ? 134 : 10)
      try p.expect(reply.isEmpty ? isEnd : reply.count >= 10, "an export, or the end of the connection", "\(reply.count) bytes")
    },
  ]
}

extension Probe {
  /// The server closes without a byte.
  fileprivate func expectRefusal(_ session: Session, _ what: String) throws {
    let (reply, isEnd) = session.end(134)
    try expect(
      isEnd && reply.isEmpty, "the end of the connection for \(what)", reply.isEmpty ? "an open connection" : "\(reply.count) bytes"
    )
  }
}
