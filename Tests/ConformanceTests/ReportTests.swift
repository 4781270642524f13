import Testing

@testable import NBDConformance

/// Reports say what was found, in each format.
@Suite struct ReportTests {
  private let report = Report(
    server: "server \"x\" <y>", export: "disk", seconds: 1.5,
    results: [
      Result(id: "HS-001", verdict: .pass, seconds: 0.25, conversation: ["1 < greeting", "  magic: 4e42  a \"b\" & \\c"]),
      Result(id: "OPT-014", verdict: .fail, expected: "NBD_REP_ACK", found: "a\nb & <c>", conversation: ["1 - \u{1b}[31m"]),
      Result(id: "OPT-023", verdict: .warn, expected: "an error", found: "none"),
      Result(id: "TX-007", verdict: .skip, found: "the export is writable"),
    ])

  @Test func jsonIsReadAgainAsItWasWritten() throws {
    let read = try #require(Report(json: Array(report.json.utf8)))
    #expect(read.server == report.server && read.export == report.export && read.seconds == report.seconds)
    #expect(read.results.map(\.id) == report.results.map(\.id))
    #expect(read.results.map(\.verdict) == report.results.map(\.verdict))
    #expect(read.results.map(\.found) == report.results.map(\.found))
    #expect(read.results.map(\.conversation) == report.results.map(\.conversation))
    #expect(read.results[0].seconds == 0.25)
  }

  @Test func jsonHasTheFieldsThatProgramsRead() throws {
    let value = try #require(JSONParser.parse(Array(report.json.utf8)))
    let check = try #require(value["checks"]?.elements?[1])
    #expect(check["id"]?.text == "OPT-014" && check["level"]?.text == "MUST" && check["phase"]?.text == "option")
    #expect(check["section"]?.text == "Option types: NBD_OPT_ABORT" && check["verdict"]?.text == "fail")
    #expect(check["expected"]?.text == "NBD_REP_ACK" && check["seconds"]?.number == 0)
  }

  @Test(arguments: [
    "", "{", "[1,", "{\"a\":}", "{\"a\" 1}", "nul", "\"\\u00\"", "\"abc", "1 2", "{\"server\":1,\"checks\":[]}", "[]",
    "{\"server\":\"s\",\"checks\":[{\"id\":\"HS-001\",\"verdict\":\"fine\"}]}", String(repeating: "[", count: 5000),
    "{\"server\":\"s\",\"checks\":[{\"id\":\"<b>\",\"verdict\":\"pass\"}]}",
    "{\"server\":\"s\",\"checks\":[{\"id\":\"HS-001 onload=x\",\"verdict\":\"pass\"}]}",
    "{\"server\":\"s\",\"checks\":[{\"id\":\"HS-\",\"verdict\":\"pass\"}]}",
  ])
  func whatIsNoReportIsRefused(text: String) {
    #expect(Report(json: Array(text.utf8)) == nil)
  }

  @Test func theTextNamesFailuresAndWhatWasSkipped() {
    let text = report.text
    #expect(text.contains("FAIL OPT-014") && text.contains("WARN OPT-023") && text.contains("expected: NBD_REP_ACK"))
    #expect(text.contains("the export is writable: TX-007") && text.contains("1 passed, 1 warned, 1 failed, 1 skipped"))
    #expect(report.exitStatus == 1)
  }

  @Test func tapHasALineForEachCheck() {
    let lines = report.tap.split(separator: "\n")
    #expect(lines[1] == "1..4")
    #expect(lines.contains { $0.hasPrefix("ok 1 - HS-001") } && lines.contains { $0.hasPrefix("not ok 2 - OPT-014") })
    #expect(lines.contains { $0.hasPrefix("not ok 3 - OPT-023") && $0.hasSuffix("# TODO SHOULD") })
    #expect(lines.contains { $0.hasPrefix("ok 4 - TX-007") && $0.hasSuffix("# SKIP the export is writable") })
  }

  @Test func junitAndHTMLEscapeWhatTheServerSaid() {
    for text in [report.junit, report.html] {
      #expect(text.contains("server &quot;x&quot; &lt;y&gt;") && text.contains("b &amp; &lt;c&gt;"))
      #expect(!text.contains("\u{1b}") && !text.contains("<c>"))
    }
    #expect(report.junit.contains("tests=\"4\" failures=\"1\" skipped=\"1\""))
  }

  /// XML has no place for them (XML 1.0, *Characters*), and a terminal acts on them.
  @Test func nothingThatIsNoTextIsLeft() {
    #expect(Report.escaped("a\u{fffe}\u{ffff}\u{9b}31m\u{1b}\u{7f}\n\u{e9}") == "a31m\n\u{e9}")
    #expect(JSON.quoted("\u{9b}31m\u{7f}") == "\"\\u009b31m\\u007f\"")
    var other = report
    other.server = "\u{9b}2J"
    other.results = [Result(id: "TX-030", verdict: .fail, expected: "\u{1b}[2J", found: "\u{9b}2J")]
    #expect(Comparison([other]).text.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
  }

  @Test func aComparisonHasAColumnForEachServer() {
    var other = report
    other.server = "other"
    other.results = [Result(id: "OPT-014", verdict: .pass), Result(id: "TX-030", verdict: .fail, expected: "a", found: "b")]
    let text = Comparison([report, other]).text
    #expect(text.contains("1  server \"x\" <y>: 1 passed") && text.contains("2  other: 1 passed"))
    let row = text.split(separator: "\n").first { $0.hasPrefix("OPT-014") }
    #expect(row?.contains("FAIL pass") ?? false)
    #expect(text.contains("TX-030 2 fail: expected a; found b"))
    let page = Comparison([report, other]).html
    #expect(page.contains("<tr id=TX-030>") && page.contains("<details><summary>fail</summary>"))
  }

  @Test func everyClauseExplainsWhyItIsThere() {
    for clause in Catalogue.clauses {
      #expect(clause.reason.count > 40 && clause.explanation.contains(clause.reason), "\(clause.id)")
      #expect(clause.explanation.contains(clause.probe), "\(clause.id)")
    }
  }

  @Test func anExplanationReadsItsProbe() throws {
    let write = try #require(Catalogue.clause("TX-025"))
    #expect(write.notation.contains { $0.hasPrefix("ENOSPC is NBD_ENOSPC, 28") })
    #expect(write.notation.contains { $0.hasPrefix("[HD]") })
    #expect(!write.notation.contains { $0.hasPrefix("OPT(") || $0.hasPrefix("cflags") || $0.hasPrefix("EPERM") })
    #expect(write.layouts.contains { $0.hasPrefix("request ") } && !write.layouts.contains { $0.hasPrefix("option ") })
    let contexts = try #require(Catalogue.clause("MC-025"))
    #expect(contexts.layouts.contains { $0.hasPrefix("contexts ") } && contexts.notation.contains { $0.hasPrefix("OPT(n,data)") })
    let status = try #require(Catalogue.clause("EH-018")).layouts.filter { $0.hasPrefix("block status ") }
    #expect(status == ["block status     number of the context 4, number of extents 4, and for each: length 8, status 8"])
    // The list of contexts is not the list of exports.
    #expect(Catalogue.clause("MC-014")?.reason.contains("context calls a hole") ?? false)
    #expect(Catalogue.clause("OPT-019")?.reason.contains("what there is to mount") ?? false)
  }

  @Test func aReadingThatAClauseNamesIsQuoted() throws {
    let disconnect = try #require(Catalogue.clause("TX-031"))
    #expect(disconnect.explanation.contains("Ambiguity A8  DISC"))
    #expect(Catalogue.ambiguities(of: disconnect).count == 1)
    let licensed = try #require(Catalogue.clauses.first { $0.letsServerDisconnect })
    #expect(Catalogue.ambiguities(of: licensed).contains { $0.hasPrefix("A36 ") })
  }
}
