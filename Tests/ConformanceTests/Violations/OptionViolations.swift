/// NBD_OPT_LIST, NBD_OPT_EXPORT_NAME, NBD_OPT_INFO and NBD_OPT_GO, NBD_OPT_STRUCTURED_REPLY.
extension Violation {
  private static let strange = ascii("no-such-export-5f2c81")

  /// The list, with something more in it.
  private static func listing(_ id: String, _ more: @escaping @Sendable (ModelConnection) -> Void) -> Violation {
    Violation(
      id: id,
      option: { c, o in
        guard o.number == Opt.list, o.data.isEmpty, c.clientFlags & ~3 == 0, c.clientFlags != 0 else { return false }
        for name in c.offer.exports { c.replyServer(name, "the export \(name)") }
        more(c)
        c.reply(o.number, Rep.ack)
        return true
      })
  }

  /// Another answer to NBD_OPT_EXPORT_NAME.
  private static func naming(
    _ id: String, also: Set<String> = [], where applies: @escaping @Sendable (ModelConnection, [UInt8]) -> Bool,
    _ answer: @escaping @Sendable (ModelConnection, [UInt8]) -> Void
  ) -> Violation {
    replying(id, also: also, where: { c, o in o.number == Opt.exportName && applies(c, o.data) }) { c, o in answer(c, o.data) }
  }

  /// Another answer to NBD_OPT_INFO or NBD_OPT_GO of our export.
  private static func informing(
    _ id: String, offer: String = "full", also: Set<String> = [],
    where applies: @escaping @Sendable (ModelConnection, SeenOption, [UInt16]) -> Bool,
    _ answer: @escaping @Sendable (ModelConnection, SeenOption, [UInt16]) -> Void
  ) -> Violation {
    Violation(
      id: id, offer: offer, also: also,
      option: { c, o in
        guard o.number == Opt.info || o.number == Opt.go, let items = o.items, o.name == ascii("disk"), applies(c, o, items) else {
          return false
        }
        answer(c, o, items)
        return true
      })
  }

  private static func item(_ type: UInt16, _ data: [UInt8]) -> [UInt8] { be(type) + data }

  static let options: [Violation] = [
    .refusing("OPT-018", also: ["OPT-024"], with: Rep.unsupported) { c, o in
      c.history.allSatisfy { $0 == Opt.list } && o.data.isEmpty
    },
    listing("OPT-019") { $0.reply(Opt.list, Rep.context, be(UInt32(0)) + ascii("base:allocation")) },
    listing("OPT-020") { $0.reply(Opt.list, Rep.server, be(UInt32(400)) + ascii("x")) },
    listing("OPT-021") { $0.replyServer("other", "a\0b") },
    listing("OPT-022") { $0.replyServer("ghost") },
    Violation(
      id: "OPT-023",
      option: { c, o in
        guard o.number == Opt.list, !o.data.isEmpty else { return false }
        c.reply(o.number, Rep.ack)
        return true
      }),
    .refusing("OPT-024", with: Rep.unknown) { c, o in o.number == Opt.list && o.data.isEmpty },
    .refusing("OPT-074", with: Rep.invalid) { c, _ in c.history.suffix(2) == [Opt.list, Opt.list] },

    naming("OPT-025", also: ["OPT-033"], where: { c, name in c.history.count == 1 && c.clientFlags == 3 && name == ascii("disk") })
    { $0.serveByName($1, size: 512) },
    naming("OPT-026", where: { c, _ in c.clientFlags == 1 }) { $0.serveByName($1, padding: [UInt8](repeating: 1, count: 124)) },
    naming("OPT-027", where: { c, name in c.history.count == 1 && c.clientFlags == 3 && name == ascii("disk") }) {
      $0.serveByName($1, padding: [UInt8](repeating: 0, count: 124))
    },
    naming("OPT-028", where: { _, name in name == strange }) { $0.serveByName($1) },
    naming("OPT-029", where: { _, name in name.isEmpty }) { c, _ in c.end() },
    naming("OPT-030", also: ["OPT-027"], where: { c, name in c.history.count == 1 && c.clientFlags == 3 && name == ascii("disk") })
    { c, name in
      c.serveByName(name)
      c.end()
    },
    naming("OPT-031", where: { _, name in name.contains(0) }) { $0.serveByName($1) },
    naming("OPT-032", where: { _, name in name.count > 4096 }) { $0.serveByName($1) },
    naming("OPT-033", where: { c, name in c.history.count == 1 && c.clientFlags == 3 && name == ascii("disk") }) {
      $0.serveByName($1, flags: $0.offer.flags | 1 << 4)
    },
    Violation(
      id: "OPT-034", offer: "insisting",
      option: { c, o in
        guard o.number == Opt.exportName, o.data == ascii("disk") else { return false }
        c.send([0, 0, 0, 0, 0])
        c.end()
        return true
      }),

    .refusing("OPT-035", with: Rep.unsupported) { c, o in c.history == [Opt.go] && o.items == [] && o.name == ascii("disk") },
    informing("OPT-036", where: { c, _, items in c.history == [Opt.info] && items == [] }) { c, o, _ in c.reply(o.number, Rep.ack)
    },
    informing("OPT-037", where: { _, _, items in items == [0] }) { c, o, _ in
      c.reply(o.number, Rep.info, item(0, be(c.offer.size) + be(c.flags) + [0]))
      c.reply(o.number, Rep.ack)
    },
    informing("OPT-038", where: { _, _, items in items == [1] }) { c, o, items in
      c.replyItems(o.number, ascii("disk"), items)
      c.reply(o.number, Rep.info, item(1, [0xff, 0]))
      c.reply(o.number, Rep.ack)
    },
    informing("OPT-039", where: { _, _, items in items == [1] }) { c, o, _ in
      c.replyExport(o.number)
      c.reply(o.number, Rep.info, item(1, ascii("elsewhere")))
      c.reply(o.number, Rep.ack)
    },
    informing("OPT-040", where: { _, _, items in items == [2] }) { c, o, _ in
      c.replyExport(o.number)
      c.reply(o.number, Rep.info, item(2, ascii("something else")))
      c.reply(o.number, Rep.ack)
    },
    informing("OPT-041", where: { _, o, items in o.number == Opt.info && items.contains(3) && !items.contains(0) }) { c, o, _ in
      c.replyExport(o.number)
      c.reply(o.number, Rep.info, item(3, be(UInt32(1)) + be(UInt32(4096)) + be(UInt32(1 << 25)) + [0]))
      c.reply(o.number, Rep.ack)
    },
    informing("OPT-042", where: { _, _, items in items == [0, 1, 2, 3] }) { c, o, items in
      c.replyItems(o.number, ascii("disk"), items)
      c.reply(o.number, Rep.info, item(1, ascii("disk")))
      c.reply(o.number, Rep.ack)
      if o.number == Opt.go { c.enterTransmission() }
    },
    .refusing("OPT-043", with: Rep.invalid) { _, o in o.items == [99, 0xffff, 3] },
    informing("OPT-044", where: { c, _, items in c.history == [Opt.info] && items == [] }) { c, o, items in
      c.replyItems(o.number, ascii("disk"), items)
      c.reply(o.number, Rep.server, be(UInt32(4)) + ascii("disk"))
      c.reply(o.number, Rep.ack)
    },
    .hangingUp("OPT-045") { _, o in (o.items?.count ?? 0) > 100 },
    .refusing("OPT-046", with: Rep.invalid) { c, o in c.history == [Opt.info] && o.name == strange && o.items == [] },
    Violation(
      id: "OPT-047",
      option: { c, o in
        guard o.number == Opt.info, o.name == strange, o.items == [1, 2, 3] else { return false }
        c.replyExport(o.number)
        c.reply(o.number, Rep.unknown)
        return true
      }),
    .refusing("OPT-048", with: Rep.unknown) { _, o in o.number == Opt.info && o.data.count > 5 && o.name == nil },
    .refusing("OPT-049", with: Rep.unknown) { _, o in o.number == Opt.info && o.data.count < 6 },
    Violation(
      id: "OPT-050",
      option: { c, o in
        guard o.number == Opt.info, o.items == nil, let name = o.name, o.data.count == name.count + 8, o.data[name.count + 5] == 4
        else { return false }
        c.replyExport(o.number)
        c.reply(o.number, Rep.ack)
        return true
      }),
    Violation(
      id: "OPT-051",
      option: { c, o in
        guard o.number == Opt.info, o.items == nil, let name = o.name, o.data.count > name.count + 8 else { return false }
        c.replyExport(o.number)
        c.reply(o.number, Rep.ack)
        // The rest, taken for an option.
        c.send([UInt8](repeating: 1, count: 20))
        return true
      }),
    informing("OPT-052", where: { _, o, items in o.number == Opt.go && items == [0, 1, 2, 3] }) { c, o, _ in
      c.replyItems(o.number, ascii("disk"), [1])
      c.reply(o.number, Rep.ack)
      c.enterTransmission()
    },
    Violation(
      id: "OPT-053",
      option: { c, o in
        guard o.number == Opt.go, c.clientFlags == 1 else { return false }
        c.answer(o)
        c.send([UInt8](repeating: 0, count: 124))
        return true
      }),
    Violation(
      id: "OPT-054",
      option: { c, o in
        if o.number == Opt.go { c.drain() }
        return false
      }),
    Violation(
      id: "OPT-055",
      option: { c, o in
        guard c.history == [Opt.go], o.name == strange, o.items == [] else { return false }
        c.reply(o.number, Rep.unknown)
        c.end()
        return true
      }),
    .refusing("OPT-056", with: Rep.unsupported) { c, o in c.history == [Opt.info, Opt.list] && o.data.isEmpty },
    Violation(
      id: "OPT-057",
      option: { c, o in
        if o.number == Opt.exportName, o.data.isEmpty {
          c.end()
          return true
        }
        guard o.number == Opt.info, o.name == [], o.items != nil else { return false }
        c.reply(o.number, Rep.invalid)
        return true
      }),
    .refusing("OPT-058", with: Rep.invalid) { _, o in o.number == Opt.info && o.name?.count == 4096 },
    accepting("OPT-059") { $0.count > 4096 },
    accepting("OPT-060") { $0.contains(0) && $0.starts(with: ascii("disk")) },
    accepting("OPT-061") { $0 == [0xff, 0xfe] },
    .refusing("OPT-062", with: Rep.blockSizeRequired) { c, o in c.history == [Opt.info] && o.items == [3] },
    .refusing("OPT-063", offer: "insisting", with: Rep.blockSizeRequired) { _, o in
      o.number == Opt.info && o.items == [] && o.name == ascii("disk")
    },
    .refusing("OPT-064", with: Rep.blockSizeRequired) { c, o in c.history == [Opt.go] && o.items == [] && o.name == ascii("disk") },
    .refusing("OPT-065", offer: "blocks", with: Rep.blockSizeRequired) { c, o in
      c.history == [Opt.go] && o.items == [] && o.name == ascii("disk")
    },

    Violation(
      id: "OPT-066",
      option: { c, o in
        guard o.number == Opt.structured, !o.data.isEmpty else { return false }
        c.isStructured = true
        c.reply(o.number, Rep.ack)
        return true
      }),
    Violation(
      id: "OPT-067", also: ["TX-017"],
      option: { c, o in
        guard o.number == Opt.structured, !o.data.isEmpty else { return false }
        c.isStructured = true
        c.reply(o.number, Rep.invalid)
        return true
      }),
    Violation(
      id: "OPT-068", also: ["SR-002"],
      request: { c, r in
        guard c.isStructured, c.requests.count == 2, r.isRead(0, 65536), r.flags == 0 else { return false }
        c.simple(r, 0, c.disk.read(0, 65536))
        return true
      }),
    Violation(
      id: "OPT-069", also: ["TX-017"],
      request: { c, r in
        guard !c.isStructured, !c.isExtended, c.requests.count == 2, r.type == 99, c.previous?.type == Cmd.read else {
          return false
        }
        c.chunks(r, [.error(22)])
        return true
      }),
    Violation(
      id: "OPT-070", also: ["SR-002"],
      option: { c, o in
        if o.number == Opt.go, o.name == strange { c.isStructured = false }
        return false
      }),
    Violation(
      id: "OPT-071",
      option: { c, o in
        guard o.items == [0, 3], !c.isStructured, !c.isExtended else { return false }
        c.reply(o.number, Rep.info, item(0, be(c.offer.size) + be(c.offer.flags | 1 << 7)))
        c.reply(o.number, Rep.ack)
        return true
      }),
  ]

  /// A name that is taken for our export's.
  private static func accepting(_ id: String, _ applies: @escaping @Sendable ([UInt8]) -> Bool) -> Violation {
    Violation(
      id: id,
      option: { c, o in
        guard o.number == Opt.info, let name = o.name, applies(name) else { return false }
        c.replyExport(o.number)
        c.reply(o.number, Rep.ack)
        return true
      })
  }
}
