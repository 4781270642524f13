/// A report for people.
extension Report {
  package var text: String {
    var lines = ["\(server), export \"\(export)\": \(results.count) checks in \(Self.twoDecimals(seconds)) s", ""]
    for verdict in [Result.Verdict.fail, .warn] {
      for result in results where result.verdict == verdict { lines += Self.block(result) }
    }
    var reasons: [String: [String]] = [:]
    for result in results where result.verdict == .skip { reasons[result.found, default: []].append(result.id) }
    if !reasons.isEmpty { lines.append("Skipped:") }
    for (reason, ids) in reasons.sorted(by: { ($1.value.count, $0.key) < ($0.value.count, $1.key) }) {
      lines.append("  \(reason): \(ids.count > 6 ? "\(ids.count) checks" : ids.joined(separator: " "))")
    }
    if !reasons.isEmpty { lines.append("") }
    lines.append(summary)
    if count(.fail) + count(.warn) > 0 { lines.append("--explain ID says more about a clause, and shows the bytes.") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// What is said about a check that did not pass.
  private static func block(_ result: Result) -> [String] {
    let word = result.verdict == .fail ? "FAIL" : "WARN"
    return [
      "\(word) \(result.id)  \(result.clause?.text ?? "")",
      "     \(result.level), \(result.section)",
      "     expected: \(result.expected)",
      "     found:    \(result.found)", "",
    ]
  }
}
