/// Structured replies and extended headers.
extension Violation {
  private static let unit: UInt64 = 512

  private static func isFailing(_ c: ModelConnection, _ r: SeenRequest) -> Bool {
    c.isStructured && r.isRead(c.offer.size, 4 * unit)
  }
  private static func isLast(_ c: ModelConnection, _ r: SeenRequest, _ length: UInt64) -> Bool {
    c.isStructured && r.flags == 0 && r.isRead(c.offer.size - length, length)
  }
  private static func isStart(_ c: ModelConnection, _ r: SeenRequest, _ length: UInt64) -> Bool {
    c.isStructured && r.flags == 0 && r.isRead(0, length)
  }
  private static func isCommand(_ c: ModelConnection, _ r: SeenRequest, _ number: UInt16) -> Bool {
    c.isStructured && r.type == number && c.requests.count == 1
  }

  static let structured: [Violation] = [
    .answering("SR-001", where: { c, r in isStart(c, r, unit) && c.requests.count == 4 }) { c, r in
      var bytes = c.encoded(.data(0, c.disk.read(0, 512)), r, extended: false)
      bytes[0] ^= 1
      c.send(bytes)
    },
    .answering("SR-002", where: { c, r in c.isStructured && r.type == Cmd.read && r.flags == 0x8000 }) { c, r in c.simple(r, 22) },
    .answering(
      "SR-003",
      where: { c, r in
        r.type == Cmd.status && r.offset == 0 && r.length == unit && r.flags == 0 && c.requests.count == 1 && c.selected.count == 1
          && c.history == [Opt.structured, Opt.setMeta, Opt.go] && c.selectedFor == ascii("disk")
      }
    ) { c, r in c.simple(r, 0) },
    .answering("SR-004", where: { c, r in isCommand(c, r, 99) }) { c, r in c.chunks(r, [.data(0, [1, 2, 3])]) },
    .answering("SR-005", where: { c, r in c.isStructured && r.type == 0x7fff }) { c, r in c.simple(r, 22) },
    Violation(
      id: "SR-006",
      request: { c, r in
        guard isStart(c, r, 1 << 20), c.requests.count == 3 else { return false }
        c.serve(r)
        c.chunks(r, [])
        return true
      }),
    Violation(id: "SR-007", chunks: { _, _, chunks in for index in chunks.indices { chunks[index].flags |= 2 } }),
    .chunked("SR-008", where: { c, r in c.isStructured && r.type == Cmd.flush }) { _, _, chunks in chunks[0].payload = [0] },
    .chunked("SR-009", where: { c, r in isLast(c, r, unit) }) { _, r, chunks in chunks.insert(.data(r.offset, []), at: 0) },
    Violation(
      id: "SR-010",
      request: { c, r in
        if isStart(c, r, 1 << 20) { c.disk.zero(65536, 65536) }
        return false
      },
      chunks: { c, r, chunks in
        guard isStart(c, r, 1 << 20) else { return }
        for index in chunks.indices where chunks[index].type == OutgoingChunk.hole { chunks[index].payload += [0, 0, 0, 0] }
      }),
    .chunked("SR-011", where: { c, r in isLast(c, r, unit) }) { _, r, chunks in chunks.append(.hole(r.offset + r.length, 512)) },
    .chunked("SR-012", where: { c, r in isLast(c, r, unit) }) { _, _, chunks in chunks.append(chunks[0]) },
    .chunked("SR-013", where: { c, r in isLast(c, r, 65536) }) { c, r, chunks in
      chunks = [.data(r.offset, c.disk.read(r.offset, 32768))]
    },
    .chunked("SR-014", where: { c, r in isStart(c, r, 1 << 20) }) { _, _, chunks in chunks = [.hole(0, 1 << 20)] },
    .chunked("SR-015", where: { c, r in isStart(c, r, 65536) }) { c, _, chunks in
      let data = c.disk.read(0, 65536)
      chunks = [.data(0, Array(data[..<100])), .data(100, Array(data[100...]))]
    },
    .chunked("SR-016", where: { c, r in isStart(c, r, 65536) }) { c, _, chunks in
      chunks = stride(from: UInt64(0), to: 65536, by: 512).map { .data($0, c.disk.read($0, 512)) }
    },
    .chunked("SR-017", where: { c, r in c.isStructured && r.flags == Flag.df && r.isRead(0, 1 << 20) }) { c, _, chunks in
      chunks = [.data(0, c.disk.read(0, 1 << 19)), .data(1 << 19, c.disk.read(1 << 19, 1 << 19))]
    },
    .failing("SR-018", with: 75) { c, r in c.isStructured && r.flags == Flag.df && r.isRead(c.offer.size - 65536, 65536) },
    .failing("SR-019", with: 5) { c, r in c.isStructured && r.flags == Flag.df && r.isRead(0, c.offer.size) },
    .chunked("SR-028", where: { c, r in isStart(c, r, 65536) }) { _, r, chunks in chunks.append(.hole(r.offset + r.length, 0)) },
    .reading("SR-029") { c, r in c.isStructured && r.flags == 0 && r.isRead(65536, 65536) },
    .failing("SR-030", offer: "blocks", with: 5) { c, r in c.isStructured && r.flags == 0 && r.isRead(0, 2 << 20) },

    .chunked("SR-020", where: isFailing) { _, _, chunks in
      chunks = [OutgoingChunk(type: OutgoingChunk.error, payload: be(UInt32(22)) + be(UInt16(400)))]
    },
    .chunked("SR-021", where: isFailing) { _, _, chunks in chunks.append(.error(22)) },
    .chunked("SR-022", where: isFailing) { _, _, chunks in chunks = [.error(22, at: 0)] },
    Violation(
      id: "SR-023",
      request: { c, r in
        guard isFailing(c, r) else { return false }
        c.serve(r)
        c.chunks(r, [.error(22)])
        return true
      }),
    .chunked("SR-024", offer: "bad sector", where: { c, r in r.type == Cmd.read }) { _, _, chunks in
      if let last = chunks.last, last.type == OutgoingChunk.errorOffset { chunks = [last] + chunks.dropLast() }
    },
    .chunked("SR-025", offer: "bad sector", where: { c, r in r.type == Cmd.read }) { c, _, chunks in
      if let last = chunks.last, last.type == OutgoingChunk.errorOffset {
        chunks.append(.error(5, at: (c.offer.badSector ?? 0) + 512))
      }
    },
    .chunked("SR-026", offer: "bad sector", where: { c, r in r.type == Cmd.read }) { _, _, chunks in
      guard chunks.last?.type == OutgoingChunk.errorOffset else { return }
      for index in chunks.indices where chunks[index].type == OutgoingChunk.data {
        chunks[index].payload[chunks[index].payload.count - 1] = 9
      }
    },
    .chunked("SR-031", where: { c, r in isCommand(c, r, 99) }) { _, r, chunks in chunks = [.error(22, at: r.offset)] },
  ]

  private static func isStatus(_ c: ModelConnection, _ r: SeenRequest) -> Bool {
    c.isExtended && r.type == Cmd.status && r.flags == 0 && r.length == unit && c.selected.count == 1
  }

  static let extended: [Violation] = [
    .refusing("EH-001", offer: "read-only", with: Rep.unknown) { c, _ in c.history == [Opt.extended] },
    Violation(
      id: "EH-003",
      option: { c, o in
        guard o.number == Opt.extended, !o.data.isEmpty else { return false }
        c.reply(o.number, Rep.ack)
        return true
      }),
    .refusing("EH-004", with: Rep.unsupported) { c, _ in c.history == [Opt.extended] },
    .refusing("EH-005", with: Rep.unsupported) { c, o in c.history == [Opt.extended, Opt.go] && o.items == [0, 3] },
    Violation(
      id: "EH-006",
      option: { c, o in
        guard o.number == Opt.structured, c.isExtended else { return false }
        c.reply(o.number, Rep.ack)
        return true
      }),
    .refusing("EH-007", with: Rep.unknown) { c, _ in c.history == [Opt.extended, Opt.extended] },
    .refusing("EH-026", with: Rep.extendedRequired) { c, o in
      c.history == [Opt.structured, Opt.listMeta, Opt.setMeta] && o.names == ["base:"]
    },
    .refusing("EH-027", with: Rep.extendedRequired) { c, _ in c.history == [0x7fff] },
    Violation(id: "EH-021", flags: { c, flags in c.history == [Opt.extended, Opt.go] ? flags | 1 << 12 : flags }),
    .answering("EH-008", where: { c, r in c.isExtended && r.type == Cmd.flush }) { c, r in c.chunks(r, [], extended: false) },
    .answering("EH-009", where: { c, r in c.isExtended && r.type == 99 }) { c, r in
      var chunk = OutgoingChunk.error(22)
      chunk.flags = 1
      c.send(c.encoded(chunk, r, extended: true, offset: r.offset + 1))
    },
    .answering("EH-010", where: { c, r in c.isExtended && r.type == 98 }) { c, r in
      c.send(be(UInt32(0x6e8a_278c)) + be(UInt16(1)) + be(UInt16(0x8001)) + be(r.cookie) + be(r.offset) + be(UInt64(1) << 32))
    },
    .chunked("EH-017", where: isStatus) { c, r, chunks in
      chunks[0].type = OutgoingChunk.status
      chunks[0].payload = be(c.selected[0].id) + be(UInt32(r.length)) + be(UInt32(0))
    },
    .chunked("EH-018", where: isStatus) { _, _, chunks in chunks[0].payload[7] += 1 },
    .chunked("EH-019", where: isStatus) { _, _, chunks in chunks[0].payload[16] = 1 },
    .failing("EH-011", with: 0) { c, r in c.isExtended && r.type == Cmd.write && r.flags == Flag.payload && c.requests.count == 1 },
    .failing("EH-012", with: 0) { c, r in c.isExtended && r.type == Cmd.write && r.flags == 0 },
    .reading("EH-013") { c, r in c.isExtended && r.type == Cmd.read && r.flags == Flag.payload },
    .answering("EH-014", offer: "blocks", where: { c, r in c.isExtended && r.type == Cmd.write && r.length == 1 << 20 + 1 }) {
      c, r in
      c.fail(r, 22)
      _ = c.receive(1)
    },
    Violation(
      id: "EH-015", offer: "huge",
      request: { c, r in
        guard c.isExtended, r.type == Cmd.zeroes else { return false }
        c.disk.zero(r.offset, r.length & 0xffff_ffff)
        c.succeed(r)
        return true
      }),
    .failing("EH-016", with: 0) { c, r in c.isExtended && r.type == Cmd.zeroes && r.offset == unit },
    Violation(
      id: "EH-022",
      request: { c, r in
        guard c.isExtended, r.type == Cmd.status, r.flags == Flag.payload, r.payload.count == 12,
          c.selected.contains(where: { $0.id == UInt32(number(r.payload[8...])) })
        else { return false }
        c.status(SeenRequest(flags: 0, type: r.type, cookie: r.cookie, offset: r.offset, length: unit), c.selected)
        return true
      }),
    .failing("EH-023", with: 0) { c, r in c.isExtended && r.type == Cmd.status && r.payload.count == 9 },
    .failing("EH-024", with: 5) { c, r in c.isExtended && r.type == Cmd.status && r.flags == Flag.payload && c.selected.isEmpty },
    Violation(id: "EH-028", mistakes: [.ignoresExtendedMagic]),
  ]

  /// All of them.
  static let all: [Violation] =
    handshake + options + startTLS + insideTLS + blockSizes + contexts + blockStatus + transmission + structured + extended
}
