/// NBD_OPT_STARTTLS, and what is refused without it.
extension Violation {
  static let startTLS: [Violation] = [
    .refusing("TLS-001", with: Rep.unknown) { _, o in o.number == Opt.startTLS },
    .refusing("TLS-002", with: Rep.tlsRequired) { _, o in o.number == 0x7777 },
    Violation(
      id: "TLS-003", offer: "selective TLS",
      option: { c, o in
        guard o.number == Opt.startTLS, c.clientFlags & 1 == 0 else { return false }
        c.reply(o.number, Rep.ack)
        return true
      }),
    // The survey has asked once.
    .refusing("TLS-004", offer: "selective TLS", with: Rep.platform) { c, o in
      o.number == Opt.startTLS && o.data.isEmpty && c.clientFlags == 3 && c.server.count("STARTTLS") == 2
    },
    .refusing("TLS-006", offer: "forced TLS", with: Rep.unsupported) { _, o in o.number == 0x7777 && !o.data.isEmpty },
    .refusing("TLS-007", offer: "forced TLS", with: Rep.invalid) { _, o in o.number == Opt.abort },
    Violation(
      id: "TLS-008", offer: "forced TLS",
      option: { c, o in
        guard o.number == Opt.exportName else { return false }
        c.serveByName(o.data)
        return true
      }),
    Violation(
      id: "TLS-009", offer: "forced TLS",
      option: { c, o in
        guard o.items == [1, 3] else { return false }
        c.replyExport(o.number)
        c.reply(o.number, Rep.tlsRequired)
        return true
      }),
    Violation(
      id: "TLS-010", offer: "selective TLS",
      option: { c, o in
        guard o.number == Opt.startTLS, o.data.isEmpty, c.clientFlags & 1 == 1 else { return false }
        c.reply(o.number, Rep.ack)
        // An option is answered as before; what is none ends the connection.
        return true
      }),
    Violation(id: "TLS-012", offer: "selective TLS", mistakes: [.ignoresGarbageForTLS]),
    .refusing("TLS-014", offer: "selective TLS", with: Rep.unknown) { _, o in o.number == Opt.go && o.name == ascii("secret") },
    Violation(
      id: "TLS-015", offer: "selective TLS",
      option: { c, o in
        guard o.number == Opt.exportName, o.data == ascii("secret") else { return false }
        c.serveByName(o.data)
        return true
      }),
    .refusing("TLS-016", offer: "selective TLS", with: Rep.tlsRequired) { _, o in o.number == 0x7777 },
    .refusing("TLS-017", offer: "selective TLS", also: ["OPT-046"], with: Rep.policy) { c, o in
      c.history == [Opt.info] && o.name == ascii("no-such-export-5f2c81") && o.items == []
    },
    Violation(
      id: "TLS-019", offer: "selective TLS",
      option: { c, o in
        guard o.name == ascii("secret"), o.items == [1, 2, 3] else { return false }
        c.replyExport(o.number)
        c.reply(o.number, Rep.tlsRequired)
        return true
      }),
    .refusing("TLS-020", with: Rep.platform) { c, _ in c.history == [Opt.info, 0x7777, Opt.list, Opt.info] },
    Violation(
      id: "TLS-021", offer: "selective TLS",
      option: { c, o in
        guard o.number == Opt.startTLS, !o.data.isEmpty else { return false }
        c.reply(o.number, Rep.ack)
        return true
      }),
  ]

  /// What happens inside TLS.
  static let insideTLS: [Violation] = [
    .refusing("TLS-005", offer: "inside TLS", with: Rep.unsupported) { c, o in o.number == Opt.startTLS && c.isProtected },
    Violation(id: "TLS-011", offer: "inside TLS", mistakes: [.carriesClearTextOver]),
    .refusing("TLS-013", offer: "inside TLS", with: Rep.tlsRequired) { c, o in c.isProtected && o.number == 0x7f13 },
    .replying("TLS-018", offer: "inside selective TLS", where: { c, o in o.number == Opt.list && !c.isProtected }) { c, o in
      for name in c.offer.exports + ["gone"] { c.replyServer(name) }
      c.reply(o.number, Rep.ack)
    },
    Violation(id: "TLS-022", offer: "inside selective TLS", mistakes: [.keepsStructuredReplies]),
    Violation(id: "TLS-023", offer: "inside selective TLS", mistakes: [.keepsContexts]),
    Violation(id: "EH-025", offer: "inside selective TLS", mistakes: [.keepsExtendedHeaders]),
    Violation(id: "TLS-024", offer: "inside TLS", versions: { $0.max() == 0x0303 ? "+VERS-TLS1.3" : nil }),
    Violation(id: "TLS-025", offer: "inside TLS", versions: { $0 == [0x0304] ? "+VERS-TLS1.2" : nil }),
    Violation(id: "TLS-026", offer: "inside TLS", versions: { ($0.max() ?? 0) < 0x0303 ? "+VERS-TLS1.1:+VERS-TLS1.0" : nil }),
    Violation(id: "TLS-048", offer: "inside TLS", versions: { $0.isSuperset(of: [0x0302, 0x0304]) ? "+VERS-TLS1.1" : nil }),
    Violation(id: "TLS-027", offer: "inside TLS", mistakes: [.cutsTLSOffAtDisconnect]),
    Violation(id: "TLS-028", offer: "inside TLS", mistakes: [.cutsTLSOffAtAbort]),
    // Behind the first records the data is lost.
    .answering(
      "TLS-030", offer: "inside TLS",
      where: { c, r in
        r.type == Cmd.write && c.history == [Opt.startTLS, Opt.list, Opt.info, Opt.structured, Opt.go] && r.length > 65536
      }
    ) { c, r in
      c.disk.write(r.offset, Array(r.payload[..<65536]))
      c.succeed(r)
    },
  ]
}
