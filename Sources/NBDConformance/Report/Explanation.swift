/// What `--explain` says about a clause: for somebody who has the specification beside it, and for somebody who has not.
extension Clause {
  /// What the clause says, why it is there, what is sent, and how those bytes are laid out.
  package var explanation: String {
    var lines = [
      "\(id)  \(text)", "",
      "Level:    \(level.rawValue)",
      "Section:  \(section)",
      "Concerns: \(side == "both" ? "client and server" : side), \(phase) phase",
      "Probe:    \(probe)",
    ]
    if letsServerDisconnect { lines.append("          The probe breaks a rule for clients, so that a server may also hang up.") }
    if needsWriting { lines.append("          It writes, and runs with --write only.") }
    lines += ["", reason]
    let notes = notation
    if !notes.isEmpty { lines += ["", "In these lines:"] + notes.map { "  " + $0 } }
    let layouts = layouts
    if !layouts.isEmpty { lines += ["", "The bytes, big-endian, with the size of each field:"] + layouts.map { "  " + $0 } }
    for ambiguity in Catalogue.ambiguities(of: self) { lines += ["", "Ambiguity \(ambiguity)"] }
    return lines.joined(separator: "\n") + "\n"
  }

  /// What words and signs stand for, of the clause and its probe.
  var notation: [String] { Self.signs.filter { has($0.signs) }.map(\.meaning) }

  /// Messages that the probe is made of, or whose phase the clause is about.
  var layouts: [String] {
    Self.messages.filter { message in
      if message.isCompact, phase == "extended" { return false }
      return has(message.signs) || message.sections.contains { section.contains($0) } || message.phases.contains(phase)
    }.map(\.layout)
  }

  /// The clause or its probe has one of these as a word of its own.
  private func has(_ signs: [String]) -> Bool {
    let lines = text + " " + probe
    return signs.contains { sign in
      guard sign.allSatisfy({ $0.isLetter || $0 == "_" || $0 == "(" }) else { return lines.contains(sign) }
      return lines.split(whereSeparator: { !$0.isLetter && $0 != "_" && $0 != "(" }).contains { word in
        word == sign || word.hasPrefix(sign + "(") || sign.hasSuffix("(") && word.hasPrefix(sign)
      }
    }
  }

  private static let signs: [(signs: [String], meaning: String)] = [
    (["OPT("], "OPT(n,data) is an option with that number and data: 1 EXPORT_NAME, 2 ABORT, 3 LIST, 5 STARTTLS, 6 INFO, 7 GO,"),
    (["OPT("], "  8 STRUCTURED_REPLY, 9 LIST_META_CONTEXT, 10 SET_META_CONTEXT, 11 EXTENDED_HEADERS."),
    (["REQ"], "REQ is a request of the transmission phase, with what is not named being 0."),
    (["GO"], "GO is NBD_OPT_GO, which ends the haggling; requests follow it."),
    (["INFO"], "INFO is NBD_OPT_INFO, which asks the same as NBD_OPT_GO and goes on haggling."),
    (["SR"], "SR is NBD_OPT_STRUCTURED_REPLY, answered with NBD_REP_ACK."),
    (["SET", "SET_META"], "SET is NBD_OPT_SET_META_CONTEXT, with the names of the contexts."),
    (["cflags"], "cflags are the client's flags: 1 fixed newstyle, 2 no zeroes behind NBD_OPT_EXPORT_NAME."),
    (["EOF"], "EOF is the end of the connection, closed by the server."),
    (
      ["in sync", "In sync"],
      "In sync: the next option (a read of 512 bytes, in the transmission phase) is answered as it should be."
    ),
    (["ERR_UNSUP", "UNSUP"], "ERR_UNSUP is NBD_REP_ERR_UNSUP (0x80000001): the server does not know the option."),
    (["ERR_INVALID"], "ERR_INVALID is NBD_REP_ERR_INVALID (0x80000003): the server knows the option, and its data makes no sense."),
    (["EINVAL"], "EINVAL is NBD_EINVAL, 22, in the field error of a reply."),
    (["ENOSPC"], "ENOSPC is NBD_ENOSPC, 28, in the field error of a reply."),
    (["EPERM"], "EPERM is NBD_EPERM, 1, in the field error of a reply."),
    (["EOVERFLOW"], "EOVERFLOW is NBD_EOVERFLOW, 75, in the field error of a reply."),
    (["DF"], "DF is NBD_CMD_FLAG_DF, 4: the data is wanted in one chunk."),
    (["FUA"], "FUA is NBD_CMD_FLAG_FUA, 1: what is written has to be on stable storage before the reply."),
    (["[HD]"], "[HD]: the client breaks a rule here itself, so that the server may disconnect (\"hard disconnect\")."),
  ]

  /// A message of the protocol, and when it is shown.
  private struct Message {
    var signs: [String] = []
    var sections: [String] = []
    var phases: [String] = []
    /// Extended headers have another in its place.
    var isCompact = false
    let layout: String
  }

  private static let messages: [Message] = [
    Message(
      sections: ["Newstyle negotiation", "Handshake flags", "Client flags"],
      layout: "greeting         \"NBDMAGIC\" 8, \"IHAVEOPT\" 8, handshake flags 2; the client answers with its flags 4"),
    Message(sections: ["Oldstyle"], layout: "oldstyle         \"NBDMAGIC\" 8, 00420281861253 8, size 8, flags 4, zeroes 124"),
    Message(signs: ["OPT("], phases: ["option", "tls"], layout: "option           \"IHAVEOPT\" 8, option 4, length 4, data"),
    Message(
      signs: ["OPT("], phases: ["option", "tls"],
      layout: "option reply     0003e889045565a9 8, option 4, reply type 4, length 4, data"),
    Message(
      sections: ["NBD_OPT_INFO", "Size constraints"],
      layout: "INFO and GO      length of the name 4, name, number of items 2, items 2 each"),
    Message(
      sections: ["META_CONTEXT"],
      layout: "contexts         length of the name 4, name, number of queries 4, and for each: length 4, query"),
    Message(
      phases: ["transmission", "structured"],
      layout: "request          25609513 4, flags 2, type 2, cookie 8, offset 8, length 4, data of a write"),
    Message(phases: ["transmission"], layout: "simple reply     67446698 4, error 4, cookie 8, data of a read"),
    Message(phases: ["structured"], layout: "structured reply 668e33ef 4, flags 2 (1 DONE), type 2, cookie 8, length 4, payload"),
    Message(phases: ["extended"], layout: "extended request 21e41c71 4, flags 2, type 2, cookie 8, offset 8, length 8, payload"),
    Message(
      phases: ["extended"], layout: "extended reply   6e8a278c 4, flags 2 (1 DONE), type 2, cookie 8, offset 8, length 8, payload"),
    Message(
      sections: ["BLOCK_STATUS", "base:allocation"], isCompact: true,
      layout: "block status     number of the context 4, and for each extent: length 4, status 4 (1 hole, 2 reads as zeros)"),
    Message(
      sections: ["ERROR"], layout: "error chunk      error 4, length of the message 2, message, and with type 8002 the offset 8"),
    Message(
      sections: ["ext-header: NBD_CMD_BLOCK_STATUS", "BLOCK_STATUS_EXT"],
      layout: "block status     number of the context 4, number of extents 4, and for each: length 8, status 8"),
    Message(sections: ["OFFSET_DATA"], layout: "data chunk       offset 8, data"),
    Message(sections: ["OFFSET_HOLE"], layout: "hole chunk       offset 8, length 4"),
  ]
}
