import Testing

@testable import NBDConformance

/// The catalogue and the checks are about the same clauses.
@Suite struct CatalogueTests {
  @Test func everyTestableClauseAboutServersHasACheckOrAReason() {
    let checked = Set(Suite.all.map(\.id))
    for clause in Catalogue.clauses where clause.isAboutServers {
      #expect(checked.contains(clause.id) != (Suite.reasonsWhyNot[clause.id] != nil), "\(clause.id)")
    }
  }

  @Test func everyCheckIsOfOneClauseAboutServers() {
    #expect(Set(Suite.all.map(\.id)).count == Suite.all.count)
    for check in Suite.all { #expect(Catalogue.clause(check.id)?.isAboutServers == true, "\(check.id)") }
  }

  @Test func theCatalogueIsWhole() {
    #expect(Catalogue.clauses.count == 537)
    #expect(Set(Catalogue.clauses.map(\.id)).count == 537)
  }

  @Test func ninetyFivePercentOfTheTestableClausesAreChecked() {
    let testable = Catalogue.clauses.filter { $0.isAboutServers && $0.isTestable }
    #expect(Suite.all.count * 100 >= testable.count * 95, "\(Suite.all.count) of \(testable.count)")
  }
}
