import Testing

@testable import NBDConformance

/// `--only`: which checks are meant.
@Suite struct SelectionTests {
  private func ids(_ words: String...) -> [String] { Suite.matching(words).checks.map(\.id) }

  @Test func aWordIsAnIDAPhaseOrASection() {
    #expect(ids() == Suite.all.map(\.id))
    #expect(ids("opt-014") == ["OPT-014"])
    #expect(ids("TX-030", "HS-001") == ["HS-001", "TX-030"])
    #expect(ids("extended").allSatisfy { $0.hasPrefix("EH-") } && !ids("extended").isEmpty)
    #expect(ids("NBD_OPT_ABORT") == ["OPT-014", "OPT-015", "OPT-016"])
    #expect(Suite.matching(["option"]).checks.allSatisfy { $0.clause.phase == "option" } && ids("option").contains("OPT-014"))
    #expect(ids("mc").allSatisfy { $0.hasPrefix("MC-") } && !ids("mc").isEmpty)
  }

  @Test(arguments: ["nonsense", "OPT-999", "clientele", "TX-029"]) func aWordThatNamesNothingIsSaid(word: String) {
    #expect(Suite.matching(["HS-001", word]).unknown == word)
  }
}
