/// The catalogue of clauses: every statement of the specification that shows on the wire, in our words, with what to send
/// and what to expect. Docs/conformance/clauses.tsv is its source; the notation of ``Clause/probe`` is explained beside it.

/// One statement of the specification.
package struct Clause: Hashable, Sendable {
  /// How strongly the specification says it (RFC 2119).
  package enum Level: String, Sendable { case must = "MUST", should = "SHOULD", may = "MAY" }

  /// Such as `OPT-014`.
  package let id: String
  /// Who has to keep it: `server`, `client` or `both`.
  package let side: String
  package let level: Level
  /// `handshake`, `option`, `tls`, `metadata`, `transmission`, `structured` or `extended`; `uri` of clients only.
  package let phase: String
  /// The heading in the specification under which it stands.
  package let section: String
  package let text: String
  /// What to send, and what to expect.
  package let probe: String
  /// It changes the export, so that it is only for a scratch one.
  package let needsWriting: Bool
  /// False where no conversation can show it.
  package let isTestable: Bool

  /// A line of the table; nil where columns are missing.
  init?(_ line: some StringProtocol) {
    let columns = line.split(separator: "\t" as Character, omittingEmptySubsequences: false).map { String($0) }
    guard columns.count == 9, let level = Level(rawValue: columns[2]) else { return nil }
    id = columns[0]
    side = columns[1]
    self.level = level
    phase = columns[3]
    section = columns[4]
    text = columns[5]
    probe = columns[6]
    needsWriting = columns[7] == "write"
    isTestable = columns[8] != "no"
  }

  package var isAboutServers: Bool { side != "client" }

  /// The probe itself breaks a rule for clients, so that a server may also hang up (ambiguity A1).
  package var letsServerDisconnect: Bool { probe.contains("[HD]") }
}

/// All clauses, in the order in which they are printed.
package enum Catalogue {
  package static let clauses: [Clause] =
    [textHS, textOPT, textTLS, textSZ, textMC, textTX, textSR, textEH, textURI, textRB]
    .flatMap { $0.split(separator: "\n").compactMap { Clause($0) } }

  private static let byID = Dictionary(uniqueKeysWithValues: clauses.map { ($0.id, $0) })

  /// The clause with that id, in any case of letters.
  package static func clause(_ id: String) -> Clause? { byID[id.uppercased()] }

  /// Places of the specification that can be read in several ways, with the reading chosen: those that the clause names, such
  /// as A8, or that every clause shares whose probe breaks a rule for clients (A1, A36).
  package static func ambiguities(of clause: Clause) -> [String] {
    let words = Set((clause.text + " " + clause.probe).split { !$0.isLetter && !$0.isNumber }.map { String($0) })
    return textAmbiguities.split(separator: "\n").map { String($0) }.filter { line in
      let name = String(line.prefix { $0 != " " })
      return words.contains(name) || clause.letsServerDisconnect && ["A1", "A36"].contains(name)
    }
  }
}
