import Glibc
import NBDProtocol
import Synchronization
import Testing

@testable import NBDConformance

/// Each check can fail, and only for its own reason: servers that break one rule each, and servers that keep them all.
@Suite(.serialized) struct ViolationTests {
  @Test func aServerThatObeysPassesEveryCheck() async throws {
    let passed = Mutex<[String: Set<String>]>([:])
    let complaints = await inParallel(Offer.all.sorted { $0.key < $1.key }) { name, offer in
      let results = Self.run(ModelServer(offer), offer.only)
      passed.withLock { $0[name] = Set(results.filter { $0.verdict == .pass }.map(\.id)) }
      guard !results.isEmpty else { return ["\(name): the checks could not run"] }
      return results.filter { $0.verdict == .fail || $0.verdict == .warn }.map { "\(name): \($0.id): \($0.expected) | \($0.found)" }
    }
    #expect(complaints == [])
    let all = passed.withLock { $0 }
    let missing = Suite.all.map(\.id).filter { id in !all.values.contains { $0.contains(id) } }
    #expect(missing.isEmpty, "no model server passes these: \(missing)")
    // The others are about a server without TLS, or about client flags with which it cannot begin.
    let inClear = all["full"]?.subtracting(all["inside TLS"] ?? [])
    #expect(inClear == ["HS-010", "HS-011", "TLS-001", "TLS-002"], "not checked inside TLS: \(inClear ?? [])")
  }

  @Test func everyCheckHasAViolation() {
    let ids = Violation.all.map(\.id)
    #expect(Set(ids).count == ids.count)
    #expect(Set(Suite.all.map(\.id)).symmetricDifference(ids).isEmpty)
  }

  /// With `NBDMOUNT_CONFORMANCE_MATRIX` set, every check runs against every violation; otherwise only the one that must fail.
  @Test func everyViolationIsCaughtByItsCheckAndNoOther() async throws {
    let isFull = getenv("NBDMOUNT_CONFORMANCE_MATRIX") != nil
    let score = Mutex((caught: 0, exact: 0, runs: 0))
    let complaints = await inParallel(Violation.all) { violation in
      guard let offer = Offer.all[violation.offer] else { return ["\(violation.id): no offer \(violation.offer)"] }
      let results = Self.run(ModelServer(offer, violation), isFull ? offer.only : [violation.id], violation)
      let failed = Set(results.filter { $0.verdict == .fail || $0.verdict == .warn }.map(\.id))
      var complaints: [String] = []
      if !failed.contains(violation.id) {
        let own = results.first { $0.id == violation.id }
        complaints.append("\(violation.id) is not caught: \(own.map { "\($0.verdict) \($0.found)" } ?? "not run")")
      }
      for other in results where failed.subtracting(violation.also).contains(other.id) && other.id != violation.id {
        complaints.append("\(violation.id) fails \(other.id), too: \(other.expected) | \(other.found)")
      }
      score.withLock {
        $0.runs += results.count
        if failed.contains(violation.id) { $0.caught += 1 }
        if failed == [violation.id] { $0.exact += 1 }
      }
      return complaints
    }
    #expect(complaints == [])
    let (caught, exact, runs) = score.withLock { $0 }
    print("Violations: \(caught) of \(Violation.all.count) caught, \(exact) by their own check alone, in \(runs) checks run")
  }

  /// Beside what is read as if it were inside TLS.
  @Test func anAnswerInTheClearToWhatCameBehindSTARTTLSIsFound() async throws {
    let violation = Violation(
      id: "TLS-011", offer: "inside TLS",
      option: { c, o in
        var next: UInt8 = 0
        guard o.number == Opt.startTLS, recv(c.socket, &next, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) == 1 else { return false }
        c.reply(o.number, Rep.ack)
        return true
      })
    let complaints = await inParallel([violation]) { violation in
      guard let offer = Offer.all[violation.offer] else { return ["no offer"] }
      return Self.run(ModelServer(offer, violation), ["TLS-011"], violation).map { "\($0.verdict) \($0.found)" }
    }
    #expect(complaints == ["fail an option reply without TLS"])
  }

  /// What a server's threads race about shows on one connection in a few.
  @Test func whatOneConnectionInTwoShowsIsFound() async throws {
    let violation = Violation(
      id: "TX-030",
      request: { c, r in
        guard r.type == Cmd.disconnect, c.server.count("disconnect") == 2 else { return false }
        c.simple(r, 0)
        c.end()
        return true
      })
    let complaints = await inParallel([violation]) { violation in
      Self.run(ModelServer(Offer.full, violation), ["TX-030"]).filter { $0.verdict != .pass }.map { "\($0.verdict) \($0.found)" }
    }
    #expect(complaints == ["fail 16 bytes"])
  }

  /// A server that drops its clients when it is told to end does so in the middle of a reply, whatever its machine is busy with.
  @Test func aServerThatEndsAtOnceLeavesRequestsUnanswered() async throws {
    let violation = Violation(id: "TX-068", mistakes: [.endsAtOnce])
    let verdicts = await inParallel([violation]) { violation in
      Self.run(ModelServer(Offer.full, violation), ["OPT-012", "TX-068"]).map { "\($0.id) \($0.verdict)" }
    }
    #expect(verdicts == ["OPT-012 warn", "TX-068 warn"])
  }

  private static func run(_ server: ModelServer, _ only: [String]?, _ violation: Violation? = nil) -> [Result] {
    var settings = Settings()
    settings.timeout = 1500
    // Where a violation takes a moment, so does its check.
    settings.quiet = violation?.takesAMoment ?? false ? 300 : 10
    settings.idle = 20
    settings.grace = 20
    settings.attempts = 2
    let checks = Suite.all.filter { only?.contains($0.id) ?? true }
    let runner = Runner(server, settings: settings, exportName: Array("disk".utf8), writes: true)
    return (try? runner.run(checks)) ?? []
  }
}

/// Runs `body` for all of `items` on two threads of our own, as it blocks. All that it complains of.
func inParallel<Item: Sendable>(_ items: [Item], _ body: @escaping @Sendable (Item) -> [String]) async -> [String] {
  let work = Work(items, body)
  await withTaskGroup(of: Void.self) { group in
    for _ in 0..<2 {
      group.addTask {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
          _ = try? POSIXThread.startDetached("a test") {
            work.run()
            continuation.resume()
          }
        }
      }
    }
  }
  return work.complaints
}

/// What is left to do, and what was complained of; for several threads.
private final class Work<Item: Sendable>: Sendable {
  private let items: [Item]
  private let body: @Sendable (Item) -> [String]
  private let state = Mutex((next: 0, complaints: [String]()))

  init(_ items: [Item], _ body: @escaping @Sendable (Item) -> [String]) {
    self.items = items
    self.body = body
  }

  var complaints: [String] { state.withLock { $0.complaints } }

  func run() {
    while let item = take() {
      let new = body(item)
      state.withLock { $0.complaints += new }
    }
  }

  private func take() -> Item? {
    state.withLock {
      guard $0.next < items.count else { return nil }
      $0.next += 1
      return items[$0.next - 1]
    }
  }
}
