import Glibc

/// The greeting, the client's flags, and options in general.
extension Violation {
  static let handshake: [Violation] = [
    Violation(id: "HS-001", greeting: { ascii("NBDMAGIX") + $0[8...] }),
    Violation(id: "HS-002", greeting: { $0[..<8] + ascii("IHAVEOPX") + $0[16...] }),
    Violation(id: "HS-003", mistakes: [.talksBehindGreeting]),
    Violation(id: "HS-004", greeting: { $0[..<16] + be(UInt16(2)) }, takesFlags: { $0 & ~2 == 0 }),
    Violation(id: "HS-005", greeting: { $0[..<16] + be(UInt16(0x8003)) }),
    Violation(
      id: "HS-006", also: ["OPT-026"],
      option: { c, o in
        guard o.number == Opt.exportName, c.clientFlags == 1 else { return false }
        c.serveByName(o.data, padding: [])
        return true
      }),
    Violation(id: "HS-007", takesFlags: { $0 & ~3 != 0 ? true : nil }),
    Violation(id: "HS-008", offer: "plain", takesFlags: { $0 & ~3 == 0 ? true : nil }),
    Violation(
      id: "HS-009",
      option: { c, o in
        guard o.number == Opt.list, c.clientFlags == 0 else { return false }
        c.send(ascii("this is no option reply"))
        return true
      }),
    Violation(
      id: "HS-010",
      option: { c, o in
        guard o.number == Opt.exportName, c.clientFlags == 0 else { return false }
        c.serveByName(o.data, size: c.offer.size + 1)
        return true
      }),
    Violation(
      id: "HS-011",
      option: { c, o in
        guard o.number == Opt.exportName, c.clientFlags == 2 else { return false }
        c.serveByName(o.data, padding: [UInt8](repeating: 0, count: 124))
        return true
      }),
    Violation(
      id: "HS-012", offer: "TCP",
      greeting: { _ in
        ascii("NBDMAGIC") + be(0x0000_4202_8186_1253 as UInt64) + be(UInt64(1 << 20)) + be(UInt32(1))
          + [UInt8](repeating: 0, count: 124)
      }),
    Violation(id: "HS-013", offer: "oldstyle", greeting: { $0[..<28] + [UInt8](repeating: 7, count: 124) }),
    Violation(id: "HS-014", offer: "oldstyle", greeting: { $0[..<24] + [0, 3] + $0[26...] }),
    Violation(
      id: "HS-015", offer: "TCP",
      request: { c, _ in
        if c.requests.count > 2 { usleep(60_000) }
        return false
      }),
    Violation(id: "HS-016", mistakes: [.trustsSegmentsOfOptions]),
    Violation(id: "HS-017", mistakes: [.ignoresOptionMagic]),
    Violation(id: "HS-018", cut: { c, place in if place == .flags { c.server.die() } }),

    Violation(id: "OPT-001", optionReply: { _, reply in reply.magic += 1 }),
    Violation(id: "OPT-002", optionReply: { _, reply in reply.option ^= 1 << 20 }),
    Violation(
      id: "OPT-003",
      option: { c, o in
        guard c.history == [Opt.list, Opt.info], o.items == [] else { return false }
        c.answer(o)
        c.send([0])
        return true
      }),
    .refusing("OPT-004", with: Rep.invalid) { _, o in o.number == 12 },
    .hangingUp("OPT-005") { _, o in o.number == 0x7fff && o.data.count >= 4096 },
    .refusing("OPT-006", with: Rep.invalid) { _, o in o.number == 4 },
    Violation(id: "OPT-007", optionReply: { _, reply in if reply.type == Rep.ack { reply.data = [0] } }),
    Violation(id: "OPT-008", optionReply: { _, reply in if reply.type > Rep.ack << 31 { reply.data = ascii("a\0b") } }),
    .hangingUp("OPT-009") { c, _ in c.history.first == 0x7ffe && c.history.count > 6 },
    Violation(
      id: "OPT-010", also: ["SR-002"],
      option: { c, o in
        guard o.number == Opt.structured, c.isStructured else { return false }
        c.isStructured = false
        c.reply(o.number, Rep.ack)
        return true
      }),
    // The header of an option that is too long comes here without its data.
    Violation(
      id: "OPT-011",
      option: { c, o in
        if o.isCutShort { c.server.die() }
        return false
      }),
    Violation(
      id: "OPT-013",
      optionReply: { _, reply in
        if reply.type > Rep.ack << 31 { reply.data = [UInt8](repeating: 97, count: 300) }
      }),
    Violation(
      id: "OPT-072",
      option: { c, o in
        guard c.history.count == 19, o.number == Opt.go else { return false }
        c.reply(o.number, Rep.invalid)
        return true
      }),
    .hangingUp("OPT-073") { c, o in c.history.count == 19 && o.number == Opt.info },

    Violation(
      id: "OPT-014",
      option: { c, o in
        guard c.history == [Opt.abort], o.data.isEmpty else { return false }
        c.reply(o.number, Rep.ack)
        c.reply(o.number, Rep.ack)
        return true
      }),
    .refusing("OPT-015", with: Rep.invalid) { _, o in o.number == Opt.abort && !o.data.isEmpty },
    Violation(
      id: "OPT-016",
      option: { c, o in
        guard c.history == [Opt.abort], o.data.isEmpty else { return false }
        // A client that waits for the answer is still there.
        if c.hears(700) { c.server.die() }
        return false
      }),
    .refusing("OPT-017", with: Rep.unsupported) { c, _ in c.history == [Opt.info, Opt.abort] },
  ]
}
