/// What a check came to that is not a pass; thrown, so that the first one ends the check.
struct Finding: Error, Hashable {
  enum Kind: Hashable {
    /// The clause was not kept: as bad as its level says.
    case missed
    /// A hang, an end or garbage where a conversation should go on: a failure at any level.
    case broken
    /// Less than the best, and not forbidden.
    case warned
    /// The server closed the connection where it may, because what was sent breaks a rule for clients.
    case licensedEnd
    /// The check does not apply; ``found`` says why.
    case skipped
  }

  let kind: Kind
  var expected = ""
  var found: String
}

/// The rules that every message has to keep, whoever asked for it: noted as messages are read, reported by the check whose
/// clause it is. So one broken rule is one failure, and not one in each check that met it.
package final class RuleBook {
  struct Entry {
    /// Times that the rule applied.
    var count = 0
    /// The first time that it was broken.
    var firstBreak: (finding: Finding, transcript: [String])?
  }
  private(set) var entries: [String: Entry] = [:]

  /// Notes whether the rule of clause `id` was kept, and goes on in either case.
  func note(
    _ id: String, _ isKept: Bool, _ expected: @autoclosure () -> String, _ found: @autoclosure () -> String,
    _ kind: Finding.Kind = .missed, in transcript: Transcript
  ) {
    var entry = entries[id] ?? Entry()
    entry.count += 1
    if !isKept, entry.firstBreak == nil || (entry.firstBreak?.finding.kind == .warned && kind != .warned) {
      let finding = Finding(kind: kind, expected: expected(), found: found())
      transcript.add(0, .event, "\(id): expected \(finding.expected); found \(finding.found)")
      entry.firstBreak = (finding, transcript.lines)
    }
    entries[id] = entry
  }
}
