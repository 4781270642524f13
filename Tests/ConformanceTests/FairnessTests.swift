import Testing

@testable import NBDConformance

/// A server is judged by what the clause asks, and by nothing else: not by how many clients it serves, how far away it is, or
/// what it may do.
@Suite(.serialized) struct FairnessTests {
  /// What became of checks, a line each: id and verdict.
  private func verdicts(
    _ server: ModelServer, _ ids: [String], writes: Bool = true, _ change: @escaping @Sendable (inout Settings) -> Void = { _ in }
  ) async -> [String] {
    await inParallel([server]) { Self.run($0, ids, writes: writes, change).map { "\($0.id) \($0.verdict)" } }
  }

  private static func run(
    _ server: ModelServer, _ ids: [String]?, writes: Bool = true, _ change: (inout Settings) -> Void = { _ in }
  ) -> [Result] {
    var settings = Settings()
    settings.timeout = 1500
    settings.quiet = 10
    settings.idle = 20
    settings.grace = 20
    settings.attempts = 2
    change(&settings)
    let checks = Suite.all.filter { ids?.contains($0.id) ?? true }
    return (try? Runner(server, settings: settings, exportName: ascii("disk"), writes: writes).run(checks)) ?? []
  }

  private static let droppings: [Violation] =
    Violation.all.filter { ["SZ-012", "MC-041", "TX-022", "TX-026", "TX-039", "TX-051"].contains($0.id) } + [
      .dropping("SZ-013") { c, r in r.type == Cmd.zeroes && r.length == c.offer.size }
    ]

  /// *SHOULD NOT disconnect*: who does all the same is warned of.
  @Test func aServerThatHangsUpWhereItShouldNotIsWarnedOf() async {
    #expect(Self.droppings.count == 7)
    for violation in Self.droppings {
      let server = ModelServer(Offer.all[violation.offer] ?? .full, violation)
      #expect(await verdicts(server, [violation.id]) == ["\(violation.id) warn"])
    }
  }

  /// Reading A36 of the specification.
  @Test func whereAClientBreaksARuleTheServerMayHangUp() async {
    let licensed: [Violation] = [
      .dropping("TX-008", offer: "read-only") { _, r in r.type == Cmd.write },
      .dropping("TX-050", offer: "read-only") { _, r in r.type == Cmd.zeroes }, .dropping("TX-074") { _, r in r.type == 8 },
      .dropping("TX-059") { _, r in r.type == 8 },
    ]
    for violation in licensed {
      let server = ModelServer(Offer.all[violation.offer] ?? .full, violation)
      #expect(await verdicts(server, [violation.id]) == ["\(violation.id) pass"])
    }
  }

  @Test func whichErrorIsGivenWithoutContextsIsAskedOnce() async {
    let violation = Violation.failing("MC-031", with: 1) { c, r in r.type == Cmd.status && c.selected.isEmpty }
    let found = await verdicts(ModelServer(.full, violation), ["MC-021", "MC-026", "MC-027", "MC-029", "MC-031"])
    #expect(found == ["MC-021 pass", "MC-026 pass", "MC-027 pass", "MC-029 pass", "MC-031 warn"])
  }

  /// 40 milliseconds away, which is what a stall of Nagle's algorithm takes.
  @Test func distanceIsNoStall() async {
    let server = ModelServer(Offer(tcpPort: 10809, delay: 40_000))
    #expect(await verdicts(server, ["HS-015"]) == ["HS-015 pass"])
  }

  /// 32 connections of 80 milliseconds or more are more than a check has time for.
  @Test func aServerThatIsFarAwayIsTriedLessOften() async {
    let server = ModelServer(Offer(delay: 20_000))
    let found = await verdicts(server, ["TX-030", "TX-032"]) { settings in
      settings.timeout = 400
      settings.attempts = 32
      settings.checkLimit = 2000
    }
    #expect(found == ["TX-030 pass", "TX-032 pass"])
  }

  @Test func aLongTimeoutMakesALongCheck() {
    var settings = Settings()
    #expect(settings.longest == 30_000)
    settings.timeout = 60_000
    #expect(settings.longest == 240_000)
  }

  /// Carries out every command that could change something, whatever its flags say, and answers with that error, 0 being success.
  private static func obeying(_ error: UInt32) -> Violation {
    Violation(
      id: "TX-007",
      request: { c, r in
        switch r.type {
        case Cmd.write where r.offset <= c.offer.size && UInt64(r.payload.count) <= c.offer.size - r.offset:
          c.disk.write(r.offset, r.payload)
        case Cmd.trim, Cmd.zeroes:
          c.disk.zero(min(r.offset, c.offer.size), min(r.length, c.offer.size - min(r.offset, c.offer.size)))
        case 8: if r.offset != c.offer.size { c.disk.zero(0, c.offer.size) }
        default: return false
        }
        c.fail(r, error)
        return true
      })
  }

  /// Whatever a server says about itself, and about what it has done: who is told of an error goes on to the next command.
  @Test(arguments: ["full", "plain", "read-only", "blocks", "oldstyle"], [0, 1] as [UInt32])
  func withoutPermissionNothingIsChanged(name: String, error: UInt32) async throws {
    let server = ModelServer(try #require(Offer.all[name]), Self.obeying(error))
    let before = server.disk.contents
    let found = await inParallel([server]) { Self.run($0, nil, writes: false).filter { $0.verdict == .pass }.map(\.id) }
    #expect(found.count > 50 || name == "oldstyle" && found.count > 20, "\(found.count)")
    let isUnchanged = server.disk.contents == before
    #expect(isUnchanged)
  }

  @Test func anExportOfTheGreatestSizeCannotGrow() async {
    #expect(await verdicts(ModelServer(Offer(size: .max, flags: Offer.resizing.flags)), ["TX-075"]) == ["TX-075 skip"])
  }

  @Test func anExportThatIsNotThereIsNoServersFault() async {
    let said = await inParallel([ModelServer(.full)]) { server in
      let runner = Runner(server, exportName: ascii("dosk"))
      do { return try runner.run(Suite.all).map(\.id) } catch { return ["\(error)"] }
    }
    #expect(said.count == 1)
    #expect(said.first?.contains("no export \"dosk\"; it has \"disk\", \"other\"") ?? false, "\(said)")
  }

  /// Names of contexts come from the server, and go to terminals.
  @Test func namesAreShownWithoutControlCharacters() async {
    let violation = Violation.replying("MC-004", where: { _, o in o.number == Opt.listMeta && o.names == ["base:"] }) { c, o in
      c.replyContext(o.number, 0, "base:\u{9b}2J")
      c.reply(o.number, Rep.ack)
    }
    let found = await inParallel([ModelServer(.full, violation)]) { Self.run($0, ["MC-004"]).flatMap { [$0.expected, $0.found] } }
    #expect(found.contains { $0.contains("base:\\u{9b}2J") }, "\(found)")
    #expect(found.allSatisfy { !$0.unicodeScalars.contains("\u{9b}") })
  }
}
