/// The transmission phase with simple replies.
extension Violation {
  private static let unit: UInt64 = 512

  private static func isOutside(_ c: ModelConnection, _ r: SeenRequest) -> Bool {
    r.offset > c.offer.size || r.length > c.offer.size - r.offset
  }
  private static func isSimple(_ c: ModelConnection) -> Bool { !c.isStructured && !c.isExtended }
  private static func lastUnit(_ c: ModelConnection) -> UInt64 { c.offer.size - unit }

  /// NBD_CMD_DISC with a reply.
  private static func parting(_ id: String, where applies: @escaping @Sendable (ModelConnection, SeenRequest) -> Bool) -> Violation
  {
    answering(id, where: { c, r in r.type == Cmd.disconnect && applies(c, r) }) { c, r in
      c.simple(r, 0)
      c.end()
    }
  }

  static let transmission: [Violation] = [
    Violation(id: "TX-001", flags: { _, flags in flags & ~1 }),
    .failing("TX-002", with: 22) { c, r in r.type == Cmd.trim && r.flags == 0 && isSimple(c) && c.previous?.type == Cmd.flush },
    Violation(
      id: "TX-003",
      flags: { c, flags in isSimple(c) && c.history.last != Opt.info && (c.items == [3] || c.items == []) ? flags | 1 << 7 : flags }
    ),
    .failing("TX-004", with: 22) { c, r in c.isStructured && c.requests.count == 1 && r.isRead(0, 65536) && r.flags == Flag.df },
    Violation(id: "TX-005", offer: "plain", flags: { _, flags in flags | 1 << 11 }),
    Violation(id: "TX-006", flags: { _, flags in flags | 1 << 13 }),
    .failing("TX-074", with: 0) { c, r in r.type == 8 && r.offset == c.offer.size && c.requests.count == 1 },
    .failing("TX-075", offer: "resizing", with: 22) { _, r in r.type == 8 },
    Violation(id: "EH-020", flags: { c, flags in c.isStructured && c.history.last == Opt.go ? flags | 1 << 12 : flags }),

    .answering("TX-010", where: { c, r in r.type == 99 && r.cookie == .max }) { c, r in c.simple(r, 22, cookie: 5) },
    Violation(
      id: "TX-011",
      request: { c, r in
        guard c.requests.count == 5, r.isRead(unit, unit) else { return false }
        c.serve(r)
        c.simple(r, 0)
        return true
      }),
    .reading("TX-012") { c, r in isSimple(c) && r.isRead(5 * unit, unit) && c.requests[0].length == 32 * unit },
    .failing("TX-013", with: 5) { c, r in r.cookie == 7 && c.requests.count == 2 && r.type == Cmd.read },
    .failing("TX-014", with: 5) { c, r in c.requests.count == 200 },
    Violation(id: "TX-015", mistakes: [.trustsSegmentsOfRequests]),
    Violation(id: "TX-016", mistakes: [.ignoresRequestMagic]),
    .answering("TX-017", where: { c, r in isSimple(c) && r.type == Cmd.flush && c.requests.count == 3 && c.previous?.type == 99 }) {
      c, r in c.chunks(r, [])
    },
    .answering("EH-002", where: { c, r in isSimple(c) && r.type == 9 && r.length == 512 }) { c, r in
      c.chunks(r, [.error(22)], extended: true)
    },
    Violation(
      id: "TX-069",
      request: { c, r in
        guard c.requests.count == 3, r.type == 99, c.previous?.type == Cmd.read, isSimple(c), c.requests[0].type == Cmd.read else {
          return false
        }
        c.fail(r, 22)
        c.end()
        return true
      }),
    Violation(id: "TX-073", cut: { c, place in if place == .payload { c.server.die() } }),

    .failing("TX-018", with: 5) { _, r in r.type == Cmd.read && r.length == 511 },
    .answering("TX-019", where: { c, r in isSimple(c) && r.isRead(lastUnit(c), 5 * unit) }) { c, r in c.simple(r, 22, [1, 2, 3]) },
    .reading("TX-020") { c, r in isSimple(c) && r.isRead(c.offer.size, 4 * unit) },
    .failing("TX-021", with: 5) { c, r in isSimple(c) && r.isRead(c.offer.size, 2 * unit) },
    .dropping("TX-022") { c, r in isSimple(c) && r.type == Cmd.read && r.length == 0 },
    Violation(
      id: "TX-023",
      request: { c, r in
        if r.type == Cmd.disconnect, c.requests.map(\.type) == [Cmd.write, Cmd.read, Cmd.flush, Cmd.disconnect] {
          c.disk.zero(0, unit)
        }
        return false
      }),
    .failing("TX-024", with: 0) { _, r in r.type == Cmd.write && r.offset == 1 && r.length == 512 },
    .failing("TX-025", with: 22) { c, r in r.type == Cmd.write && r.offset == c.offer.size && r.length == 2 * unit },
    .dropping("TX-026") { _, r in r.type == Cmd.write && r.length == 0 },
    .failing("TX-027", with: 22) { c, r in r.type == Cmd.zeroes && r.flags == Flag.fua },
    .failing("TX-028", offer: "plain", with: 0) { _, r in r.type == Cmd.write && r.flags == Flag.fua },
    .failing("TX-067", with: 122) { c, r in r.type == Cmd.write && r.offset == c.offer.size && r.length == unit },
    .failing("TX-009", with: 5) { c, r in r.type == Cmd.read && c.previous?.type == Cmd.write && c.previous?.length == 128 * unit },

    .failing("TX-007", offer: "read-only", with: 0) { _, r in r.type == Cmd.trim && r.flags == Flag.fua },
    .failing("TX-008", offer: "read-only", with: 5) { _, r in r.type == Cmd.write && r.flags == 0 && r.offset == 0 },
    .failing("TX-050", offer: "read-only", with: 5) { _, r in r.type == Cmd.zeroes && r.flags == 0 },

    parting("TX-030") { c, r in c.requests.count == 1 && r.flags == 0 && r.offset == 0 },
    Violation(
      id: "TX-031",
      request: { c, r in
        guard r.type == Cmd.write, c.requests.count == 8, r.offset == 7 * unit else { return false }
        c.succeed(r)
        return true
      }),
    parting("TX-032") { _, r in r.offset == 512 },
    parting("TX-033") { _, r in r.flags == Flag.fua },
    Violation(
      id: "TX-034",
      request: { c, r in
        if r.type == Cmd.disconnect, c.requests.map(\.type) == [Cmd.read, Cmd.disconnect] { c.server.die() }
        return false
      }),
    .failing("TX-035", with: 5) { c, r in isSimple(c) && r.type == Cmd.flush && c.requests.count == 1 && r.offset == 0 },
    .failing("TX-036", offer: "plain", with: 0) { _, r in r.type == Cmd.flush },
    .failing("TX-037", with: 5) { _, r in r.type == Cmd.flush && r.offset == 512 },
    .failing("TX-038", with: 5) { c, r in r.type == Cmd.trim && isOutside(c, r) },
    .dropping("TX-039") { _, r in r.type == Cmd.trim && r.length == 0 },
    Violation(
      id: "TX-040",
      request: { c, r in
        if r.type == Cmd.trim, r.offset == unit, r.length == unit { c.disk.zero(2 * unit, 1) }
        return false
      }),
    .failing("TX-041", offer: "plain", with: 0) { _, r in r.type == Cmd.trim },
    .failing("TX-042", with: 0) { _, r in r.type == Cmd.trim && r.flags == Flag.noHole },
    .failing("TX-043", with: 0) { _, r in r.type == Cmd.cache && r.flags == 2 },
    Violation(
      id: "TX-044",
      request: { c, r in
        if r.type == Cmd.cache, c.previous?.type == Cmd.read { c.disk.write(0, [0xee]) }
        return false
      }),
    .answering("TX-045", where: { _, r in r.type == Cmd.cache && r.offset == 1 && r.length == 1 }) { c, _ in
      c.server.die()
      c.end()
    },

    .failing("TX-046", with: 0) { _, r in r.type == Cmd.zeroes && r.flags == Flag.noHole && r.offset == unit && r.length == unit },
    .failing("TX-047", with: 5) { c, r in
      r.type == Cmd.zeroes && r.flags == Flag.noHole && c.requests.count == 1 && r.length == unit
    },
    Violation(
      id: "TX-048",
      extents: { c, r, extents in
        if c.previous?.type == Cmd.zeroes, c.previous?.flags == Flag.noHole { extents = [(r.length, 3)] }
      }),
    .failing("TX-049", with: 22) { c, r in r.type == Cmd.zeroes && isOutside(c, r) && isSimple(c) },
    .dropping("TX-051") { _, r in r.type == Cmd.zeroes && r.length == 0 },
    .failing("TX-052", also: ["TX-065"], with: 95) { c, r in
      r.type == Cmd.zeroes && r.flags == 0 && c.requests.count == 1 && r.length == unit && r.offset == 0
    },
    .failing("TX-053", with: 5) { _, r in r.type == Cmd.zeroes && r.flags == Flag.fast && r.offset == unit },
    Violation(
      id: "TX-054",
      request: { c, r in
        if r.type == Cmd.zeroes, r.flags == Flag.fast, c.previous?.type == Cmd.write { c.disk.zero(r.offset, r.length) }
        return false
      }),
    .failing("TX-055", with: 75) { c, r in r.type == Cmd.zeroes && r.flags == Flag.fast && r.length == c.offer.size },
    .failing("TX-056", offer: "blocks", with: 0) { _, r in r.type == Cmd.zeroes && r.flags == Flag.fast },
    .failing("TX-057", offer: "plain", with: 0) { _, r in r.type == Cmd.zeroes },
    .failing("TX-058", offer: "blocks", also: ["TX-065"], with: 95) { c, r in
      r.type == Cmd.zeroes && r.flags == 0 && c.requests.count == 1 && r.length == 4096 && r.offset == 0
    },

    .failing("TX-059", with: 5) { _, r in r.type == 99 && r.length == 512 },
    .reading("TX-060") { c, r in r.type == Cmd.read && r.flags == 0x40 },
    .reading("TX-061") { _, r in r.type == Cmd.read && r.flags == Flag.noHole },
    .reading("TX-062") { c, r in isSimple(c) && r.type == Cmd.read && r.flags == Flag.df },
    .failing("TX-063", with: 2) { c, r in isSimple(c) && r.type == 99 && c.requests.count == 1 && r.length == 0 },
    .failing("TX-064", with: 75) { c, r in isSimple(c) && r.type == 99 && c.requests.count == 1 && r.length == 0 },
    .failing("TX-065", with: 95) { c, r in isSimple(c) && r.type == 99 && c.requests.count == 1 && r.length == 0 },
    .failing("TX-066", with: 12) { c, r in isSimple(c) && r.type == 99 && c.requests.count == 1 && r.length == 0 },
    Violation(id: "TX-070", mistakes: [.cachesReads]),
    Violation(id: "TX-071", offer: "plain", mistakes: [.servesOne]),
    Violation(id: "OPT-012", also: ["TX-068"], mistakes: [.endsAtOnce]),
    .dropping("TX-068") { c, r in c.requests.count == 3 && c.requests.allSatisfy { $0.isRead(0, c.offer.size) } },
  ]
}
