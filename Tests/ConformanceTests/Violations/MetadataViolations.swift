/// Block sizes, metadata contexts and block status.
extension Violation {
  private static let unit: UInt64 = 512
  private static let strange = ascii("no-such-export-5f2c81")

  /// Other block sizes where they alone are asked for.
  private static func sizes(_ id: String, _ sizes: [UInt32]) -> Violation {
    Violation(
      id: id,
      option: { c, o in
        guard o.number == Opt.info, let items = o.items, items.contains(3), !items.contains(0), !items.contains(1) else {
          return false
        }
        c.replyExport(o.number)
        c.replyBlocks(o.number, sizes)
        c.reply(o.number, Rep.ack)
        return true
      })
  }

  static let blockSizes: [Violation] = [
    sizes("SZ-001", [3, 4096, 1 << 25]),
    sizes("SZ-002", [1, 300, 1 << 25]),
    sizes("SZ-003", [1, 1 << 26, 1 << 25]),
    sizes("SZ-004", [1, 4096, 1 << 19]),
    sizes("SZ-005", [1 << 16, 1 << 16, 1 << 25]),
    Violation(
      id: "SZ-006",
      option: { c, o in
        guard o.number == Opt.info, let items = o.items, items.contains(3), !items.contains(0), !items.contains(1) else {
          return false
        }
        c.replyExport(o.number)
        c.reply(o.number, Rep.ack)
        return true
      },
      request: { c, r in
        guard c.requests.count == 1, r.isRead(1, 1) else { return false }
        c.fail(r, 22)
        return true
      }),
    .failing("SZ-007", offer: "plain", with: 22) { c, r in c.requests.count == 2 && r.isRead(c.offer.size - 1, 1) },
    .failing("SZ-008", offer: "plain", with: 22) { _, r in r.isRead(0, 1 << 25) },
    .reading("SZ-009", offer: "blocks") { _, r in r.isRead(1, 4096) },
    .failing("SZ-010", offer: "blocks", with: 1) { c, r in r.type == Cmd.write && r.offset == 1 && c.goItems == [3] },
    .reading("SZ-011") { c, r in r.type == Cmd.read && r.length == 3 * unit && r.offset + 512 == c.offer.size },
    .dropping("SZ-012", offer: "blocks") { c, r in r.type == Cmd.write && r.length > 1 << 20 && r.length < 1 << 25 && !c.isExtended
    },
    .failing("SZ-013", with: 5) { c, r in r.type == Cmd.zeroes && r.flags == 0 && r.length == c.offer.size && r.offset == 0 },
    .reading("SZ-014", offer: "blocks") { c, r in c.isStructured && r.isRead(0, 2 << 20) && r.flags == 0 },
    Violation(
      id: "SZ-015", offer: "blocks",
      request: { c, r in
        guard r.type == Cmd.write, r.offset == 1, c.goItems == [] else { return false }
        c.disk.write(0, r.payload)
        c.fail(r, 22)
        return true
      }),
    Violation(
      id: "SZ-016",
      request: { c, r in
        guard r.type == Cmd.read, r.length == 0xffff_ffff, !c.isStructured else { return false }
        c.server.die()
        c.end()
        return true
      }),
  ]

  /// Another answer to an option about contexts.
  private static func contexts(
    _ id: String, also: Set<String> = [], where applies: @escaping @Sendable (ModelConnection, SeenOption) -> Bool,
    _ answer: @escaping @Sendable (ModelConnection, SeenOption) -> Void
  ) -> Violation {
    replying(id, also: also, where: { c, o in (o.number == Opt.listMeta || o.number == Opt.setMeta) && applies(c, o) }, answer)
  }

  /// These contexts, and the acknowledgement.
  private static func saying(_ names: String..., selecting: Bool = false) -> @Sendable (ModelConnection, SeenOption) -> Void {
    { c, o in
      for (index, name) in names.enumerated() {
        if selecting { c.select(o, UInt32(40 + index), name) } else { c.replyContext(o.number, 0, name) }
      }
      c.reply(o.number, Rep.ack)
    }
  }

  private static func lists(_ o: SeenOption, _ queries: [String]) -> Bool {
    o.number == Opt.listMeta && o.names == queries && o.queries?.rest == 0
  }
  private static func sets(_ o: SeenOption, _ queries: [String]) -> Bool {
    o.number == Opt.setMeta && o.names == queries && o.queries?.rest == 0
  }

  static let contexts: [Violation] = [
    contexts("MC-001", where: { _, o in lists(o, []) }) { c, o in
      for name in c.offer.contexts { c.replyContext(o.number, 0, name) }
      c.reply(o.number, Rep.server, be(UInt32(1)) + ascii("x"))
      c.reply(o.number, Rep.ack)
    },
    Violation(
      id: "MC-002", optionReply: { _, reply in if reply.option == Opt.listMeta, reply.type == Rep.context { reply.data[3] = 9 } }),
    .refusing("MC-003", with: Rep.unknown) { c, _ in c.history == [Opt.listMeta] },
    contexts("MC-004", where: { _, o in lists(o, ["base:"]) }, saying("base:allocation", "base:extra")),
    .refusing("MC-005", with: Rep.tooBig) { c, o in c.history == [Opt.structured, Opt.info, Opt.listMeta] && lists(o, []) },
    contexts("MC-006", where: { _, o in lists(o, ["base:"]) }, saying()),
    contexts(
      "MC-007", where: { _, o in lists(o, ["base:allocation"]) && o.name == ascii("disk") },
      saying("base:allocation", "x-model:all")),
    contexts("MC-008", where: { _, o in o.names == ["base:nonexist"] }, saying("base:allocation")),
    .refusing("MC-009", with: Rep.unknown) { _, o in
      (o.number == Opt.listMeta || o.number == Opt.setMeta) && o.names == ["x-foo:bar", "x-unknown:"]
    },
    contexts("MC-010", where: { _, o in lists(o, ["x-foo:bar"]) }, saying("x-model:all")),
    .refusing("MC-011", with: Rep.unknown) { _, o in (o.number == Opt.listMeta || o.number == Opt.setMeta) && o.names == ["nocolon"]
    },
    contexts("MC-012", where: { _, o in o.names == ["BASE:ALLOCATION"] }, saying("base:allocation")),
    .refusing("MC-013", with: Rep.unknown) { c, o in
      (o.number == Opt.listMeta || o.number == Opt.setMeta) && o.queries == nil && c.history.count < 3
    },
    contexts("MC-014", where: { _, o in (o.queries?.rest ?? 0) > 0 }) { c, o in c.reply(o.number, Rep.ack) },
    contexts("MC-015", where: { _, o in o.name == strange }, saying("base:allocation")),
    contexts("MC-016", where: { _, o in o.names == ["base:allocation\0"] }, saying("base:allocation")),
    .refusing("MC-017", with: Rep.invalid) { _, o in (o.number == Opt.listMeta || o.number == Opt.setMeta) && o.names.count > 100 },
    contexts("MC-018", where: { _, o in lists(o, []) }, saying("base:allocation", "x-model:all", "nocolon")),
    contexts("MC-019", where: { _, o in lists(o, []) }, saying("base:allocation", "x-model:all", "bogus:x")),
    contexts("MC-044", where: { _, o in lists(o, ["qemu:"]) }, saying("base:allocation")),
    .refusing("MC-043", with: 0x77) { c, o in c.history.first == Opt.listMeta && o.number == Opt.setMeta },

    contexts(
      "MC-020", where: { c, o in o.number == Opt.setMeta && !c.isStructured && !c.isExtended && c.history.count == 1 }, saying()),
    contexts("MC-021", where: { _, o in sets(o, []) }, saying("base:allocation", selecting: true)),
    contexts(
      "MC-022", where: { c, o in sets(o, ["base:"]) && c.history == [Opt.structured, Opt.setMeta] },
      saying("base:allocation", selecting: true)),
    contexts("MC-023", where: { _, o in sets(o, ["qemu:"]) }, saying("base:allocation", selecting: true)),
    contexts("MC-024", where: { _, o in sets(o, ["base:allocation", "x-model:all"]) }) { c, o in
      c.selected = []
      c.select(o, 40, "base:allocation")
      c.select(o, 41, "x-model:all")
      c.select(o, 77, "base:extra")
      c.reply(o.number, Rep.ack)
    },
    contexts(
      "MC-025", where: { _, o in sets(o, ["base:allocation", "base:allocation"]) },
      saying("base:allocation", "base:allocation", selecting: true)),
    contexts("MC-026", where: { c, o in sets(o, ["base:"]) && c.history == [Opt.structured, Opt.setMeta, Opt.setMeta] }, saying()),
    contexts("MC-027", where: { c, o in o.number == Opt.setMeta && o.queries == nil && c.history.count == 3 }) { c, o in
      c.reply(o.number, Rep.invalid)
    },
    contexts("MC-028", where: { c, o in o.number == Opt.listMeta && c.history == [Opt.structured, Opt.setMeta, Opt.listMeta] }) {
      c, o in
      c.selected = []
      c.reply(o.number, Rep.ack)
    },
    Violation(
      id: "MC-029",
      option: { c, o in
        guard o.number == Opt.go, c.selectedFor == ascii("other") else { return false }
        c.selectedFor = ascii("disk")
        return false
      }),
    Violation(
      id: "MC-030",
      option: { c, o in
        if o.number == Opt.exportName { c.selected = [] }
        return false
      }),
    .failing("MC-031", with: 1) { c, r in r.type == Cmd.status && !c.isStructured && !c.isExtended },
    Violation(
      id: "MC-042",
      request: { c, r in
        guard r.type == Cmd.status, r.flags == Flag.one, c.selected.isEmpty, c.isStructured else { return false }
        c.chunks(r, [c.statusChunk(5, [(r.length, 0)])])
        return true
      }),
    contexts(
      "MC-045", where: { _, o in sets(o, ["base:allocation", "qemu:allocation-depth"]) },
      saying("base:allocation", "qemu:allocation-depth", selecting: true)),
  ]

  /// Other extents, for base:allocation without NBD_CMD_FLAG_REQ_ONE.
  private static func extents(
    _ id: String, where applies: @escaping @Sendable (ModelConnection, SeenRequest) -> Bool,
    _ change: @escaping @Sendable (SeenRequest, inout [(UInt64, UInt64)]) -> Void
  ) -> Violation {
    Violation(
      id: id,
      extents: { c, r, extents in
        if applies(c, r), c.selected.count == 1, !c.isExtended { change(r, &extents) }
      })
  }

  static let blockStatus: [Violation] = [
    .chunked("MC-032", where: { c, r in r.type == Cmd.status && c.selected.count == 2 && r.flags == 0 && !c.isExtended }) {
      _, _, chunks in chunks.removeLast()
    },
    extents("MC-033", where: { _, r in r.flags == 0 && r.length == 8 * unit }) { _, e in e.insert((0, e[0].1 ^ 3), at: 0) },
    extents("MC-034", where: { _, r in r.flags == 0 && r.length == unit }) { r, e in e = [(r.length, 0), (512, 3)] },
    extents("MC-035", where: { _, r in r.flags == Flag.one && r.length == unit }) { r, e in e = [(r.length + 512, 0)] },
    extents("MC-036", where: { c, r in r.flags == 0 && r.offset == 0 && r.length == c.offer.size }) { _, e in
      e[e.count - 1].0 += 4096
    },
    Violation(
      id: "MC-037", offer: "huge",
      extents: { _, r, extents in
        if r.length == 1 << 31 { extents = (0..<(1 << 20 + 2)).map { (512, $0 & 1 == 0 ? 0 : 3) } }
      }),
    extents("MC-038", where: { _, r in r.flags == 0 && r.length == 8 * unit }) { r, e in e = [(512, 0), (r.length - 512, 0)] },
    extents("MC-039", where: { _, r in r.flags == 0 && r.length == 8 * unit }) { r, e in e = [(100, 1), (r.length - 100, 0)] },
    .failing("MC-040", with: 5) { c, r in
      r.type == Cmd.status && !c.selected.isEmpty && (r.offset >= c.offer.size || r.length > c.offer.size - r.offset)
    },
    .dropping("MC-041") { _, r in r.type == Cmd.status && r.length == 0 },
    .failing("MC-051", with: 5) { _, r in r.type == Cmd.status && r.flags == Flag.fua },
    .chunked("MC-052", where: { c, r in r.type == Cmd.status && c.selected.count == 2 && r.flags == Flag.one }) { c, r, chunks in
      chunks.append(c.statusChunk(99, [(r.length, 0)]))
    },
    extents("MC-046", where: { _, r in r.flags == 0 && r.length == 8 * unit }) { _, e in e[0].1 |= 4 },
    Violation(
      id: "MC-047",
      extents: { c, r, extents in
        guard r.flags == 0, r.offset == 0, r.length == c.offer.size, c.selected.count == 1, !c.isExtended else { return }
        c.disk.write(0, [7])
        extents = [(r.length, 3)]
      }),
    .failing("MC-048", with: 28) { c, r in r.type == Cmd.write && c.previous?.type == Cmd.status },
    extents("MC-049", where: { c, _ in c.previous?.type == Cmd.write }) { r, e in e = [(r.length, 3)] },
    .reading("MC-050") { c, r in r.type == Cmd.read && c.requests.map(\.type) == [Cmd.write, Cmd.zeroes, Cmd.status, Cmd.read] },
  ]
}
