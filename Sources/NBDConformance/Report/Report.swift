import NBDProtocol

/// What a run found: of which server, and what each check came to.
package struct Report: Sendable {
  /// For messages; nothing secret.
  package var server: String
  package var export: String
  package var seconds: Double
  package var results: [Result]

  package init(server: String, export: String, seconds: Double, results: [Result]) {
    self.server = server
    self.export = export
    self.seconds = seconds
    self.results = results
  }

  package func count(_ verdict: Result.Verdict) -> Int { results.count { $0.verdict == verdict } }

  /// 0 where nothing failed, 1 otherwise.
  package var exitStatus: Int32 { count(.fail) == 0 ? 0 : 1 }

  /// `232 passed, 3 warned, 1 failed, 60 skipped`.
  package var summary: String {
    "\(count(.pass)) passed, \(count(.warn)) warned, \(count(.fail)) failed, \(count(.skip)) skipped"
  }

  /// How results can be written.
  package enum Format: String, CaseIterable, Sendable { case text, json, tap, junit, html }

  package func formatted(_ format: Format) -> String {
    switch format {
    case .text: text
    case .json: json
    case .tap: tap
    case .junit: junit
    case .html: html
    }
  }

  /// `seconds` with two decimals.
  static func twoDecimals(_ seconds: Double) -> String {
    let hundredths = Int((seconds * 100).rounded())
    let rest = hundredths % 100
    return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
  }
}

extension Result {
  /// The clause; of one that this catalogue does not have, nothing is known.
  var clause: Clause? { Catalogue.clause(id) }
  var level: String { clause?.level.rawValue ?? "" }
  var phase: String { clause?.phase ?? "" }
  var section: String { clause?.section ?? "" }
}
