/// How one clause is checked.
package struct Check: Sendable {
  package let id: String
  let body: @Sendable (Probe) throws -> Void
  /// The verdict is the rule book's: `body` only has the server say what the rule is about.
  let isObserved: Bool
  /// What it sends may kill a server, so that it comes last.
  let isRisky: Bool
  /// It tries to change an export that says it is read-only, which no other check does that writes.
  let triesReadOnly: Bool

  /// A check whose body throws what it finds.
  init(
    _ id: String, isRisky: Bool = false, triesReadOnly: Bool = false, _ body: @escaping @Sendable (Probe) throws -> Void
  ) {
    self.id = id
    self.body = body
    self.isRisky = isRisky
    self.triesReadOnly = triesReadOnly
    isObserved = false
  }

  private init(observed id: String, _ body: @escaping @Sendable (Probe) throws -> Void) {
    self.id = id
    self.body = body
    isObserved = true
    isRisky = false
    triesReadOnly = false
  }

  /// A check of a rule that every message of the run has to keep. `body` makes sure that there is one.
  static func observed(_ id: String, _ body: @escaping @Sendable (Probe) throws -> Void) -> Check { Check(observed: id, body) }

  /// The clause, which the catalogue has: a test makes sure.
  package var clause: Clause {
    guard let clause = Catalogue.clause(id) else { preconditionFailure("no clause \(id)") }
    return clause
  }
}

/// What became of a check.
package struct Result: Sendable {
  package enum Verdict: String, Sendable, CaseIterable { case pass, warn, fail, skip }

  package let id: String
  package var verdict: Verdict
  /// What the clause wants; empty of a pass.
  package var expected = ""
  /// What the server did, or why the check was skipped.
  package var found = ""
  package var seconds = 0.0
  /// The messages, a line each, with their fields.
  package var conversation: [String] = []
}
