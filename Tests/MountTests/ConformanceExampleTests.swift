import Foundation
import TestSupport
import Testing

/// `nbdmount conformance` on the server of Examples: it finds the three mistakes that its README tells of, and nothing else, and
/// nothing any more once they are mended.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ConformanceExampleTests {
  /// What somebody does about a mistake: lines of the program, and those in their place.
  private struct Repair {
    let lines: String
    let mended: String
    /// Clauses that fail, and that warn, because of the mistake.
    let clauses: Set<String>
  }

  private static let unreadOption = Repair(
    lines: """
                  if option not in (ABORT, LIST, INFO, GO):
                      self.reply(option, UNSUPPORTED)
                      continue
                  data = self.receive(length)

      """,
    mended: """
                  data = self.receive(length)
                  if option not in (ABORT, LIST, INFO, GO):
                      self.reply(option, UNSUPPORTED)
                      continue

      """,
    clauses: ["fail OPT-005", "fail OPT-006", "fail OPT-067", "fail MC-043"])

  private static let unreadWrite = Repair(
    lines: """
                  if offset + length > SIZE:

      """,
    mended: """
                  if offset + length > SIZE:
                      if command == WRITE:
                          self.receive(length)

      """,
    clauses: ["warn TX-009"])

  private static let answeredDisconnect = Repair(
    lines: """
                      self.answer(cookie, 0)
                      return

      """,
    mended: """
                      return

      """,
    clauses: ["fail TX-030", "fail TX-032", "fail TX-033"])

  private struct Report: Decodable {
    struct Check: Decodable {
      let id: String
      let verdict: String
    }
    let checks: [Check]
  }

  /// What the checks say of the example with those repairs: what failed or warned, and how many passed.
  private func complaints(_ repairs: [Repair]) async throws -> (found: Set<String>, passed: Int) {
    var program = try String(contentsOfFile: "\(Layout.packageRoot)/Examples/small-server.py", encoding: .utf8)
    for repair in repairs {
      try #require(program.components(separatedBy: repair.lines).count == 2, "once in the program: \(repair.lines)")
      program = program.replacingOccurrences(of: repair.lines, with: repair.mended)
    }
    let output = try await withTemporaryDirectory { directory in
      let path = directory / "server.py"
      try program.write(toFile: path, atomically: true, encoding: .utf8)
      return try await run(
        [Layout.nbdmount(), "conformance", "--write", "--format", "json", "[", "python3", path, "]"], within: .seconds(120))
    }
    let report = try JSONDecoder().decode(Report.self, from: Data(output.stdout.utf8))
    let found = report.checks.filter { $0.verdict == "fail" || $0.verdict == "warn" }.map { "\($0.verdict) \($0.id)" }
    let hasFailed = report.checks.contains { $0.verdict == "fail" }
    #expect(output.status == (hasFailed ? .exited(1) : .success), "\(output.status) \(output.stderr)")
    return (Set(found), report.checks.count { $0.verdict == "pass" })
  }

  @Test func itHasThreeMistakes() async throws {
    let (found, passed) = try await complaints([])
    #expect(found == Self.unreadOption.clauses.union(Self.unreadWrite.clauses).union(Self.answeredDisconnect.clauses))
    #expect(passed > 100)
  }

  @Test func eachMistakeIsMendedByItself() async throws {
    let all = [Self.unreadOption, Self.unreadWrite, Self.answeredDisconnect]
    for index in all.indices {
      let (found, _) = try await complaints([all[index]])
      let others = all.indices.filter { $0 != index }.map { all[$0].clauses }
      #expect(found == others.reduce([]) { $0.union($1) }, "with repair \(index)")
    }
  }

  @Test func withoutThemItKeepsEveryClause() async throws {
    let (found, passed) = try await complaints([Self.unreadOption, Self.unreadWrite, Self.answeredDisconnect])
    #expect(found == [] && passed > 100)
  }

  /// The README says the same as the test.
  @Test func theREADMENamesTheClauses() throws {
    let text = try String(contentsOfFile: "\(Layout.packageRoot)/Examples/README.md", encoding: .utf8)
    for repair in [Self.unreadOption, Self.unreadWrite, Self.answeredDisconnect] {
      for clause in repair.clauses { #expect(text.contains(clause.split(separator: " ")[1]), "\(clause)") }
    }
  }
}
