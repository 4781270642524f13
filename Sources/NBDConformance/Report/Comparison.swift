import NBDProtocol

/// Several reports side by side: clauses down, servers across.
package struct Comparison {
  let reports: [Report]

  package init(_ reports: [Report]) { self.reports = reports }

  /// Ids in the order of the first report that has them.
  private var ids: [String] {
    var seen: Set<String> = []
    return reports.flatMap(\.results).map(\.id).filter { seen.insert($0).inserted }
  }

  private func row(_ id: String) -> [Result?] { reports.map { $0.results.first { $0.id == id } } }

  private static func mark(_ result: Result?) -> String {
    switch result?.verdict {
    case .pass: "pass"
    case .warn: "WARN"
    case .fail: "FAIL"
    case .skip: "-"
    case nil: ""
    }
  }

  /// All in one table, and below it what each that did not pass found. What files hold may be anything, and is printable here.
  package var text: String {
    var lines = reports.enumerated().map { "\($0 + 1)  \(printable($1.server)): \($1.summary)" } + [""]
    func line(_ id: String, _ marks: [String], _ text: String) -> String {
      let cells = marks.map { $0 + String(repeating: " ", count: 5 - min(5, $0.count)) }.joined()
      return id + String(repeating: " ", count: 9 - min(9, id.count)) + cells + text
    }
    lines.append(line("", reports.indices.map { "\($0 + 1)" }, ""))
    for id in ids { lines.append(line(id, row(id).map(Self.mark), Catalogue.clause(id)?.text ?? "")) }
    lines.append("")
    for id in ids {
      for (index, result) in row(id).enumerated() {
        guard let result, result.verdict == .fail || result.verdict == .warn else { continue }
        let words = "expected \(printable(result.expected)); found \(printable(result.found))"
        lines.append("\(id) \(index + 1) \(result.verdict.rawValue): \(words)")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// One page, which needs nothing else. Each cell opens to its conversation.
  package var html: String {
    let heads = reports.map { "<th>\(Report.escaped($0.server))<br><small>\(Report.escaped($0.summary))</small></th>" }.joined()
    var rows = ""
    var phase = ""
    for id in ids {
      let clause = Catalogue.clause(id)
      if let clause, clause.phase != phase {
        phase = clause.phase
        rows += "<tr class=phase><th colspan=\(reports.count + 2)>\(Report.escaped(phase))</th></tr>\n"
      }
      rows += "<tr id=\(id)><td><a href=#\(id)>\(id)</a> <small>\(clause?.level.rawValue ?? "")</small></td>"
      rows += "<td>\(Report.escaped(clause?.text ?? ""))<br><small>\(Report.escaped(clause?.section ?? ""))</small></td>"
      rows += row(id).map(Self.cell).joined() + "</tr>\n"
    }
    return """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><title>NBD conformance</title>
      <style>
      body { font: 14px/1.4 sans-serif; margin: 1em } table { border-collapse: collapse }
      td, th { border: 1px solid #ccc; padding: 3px 6px; text-align: left; vertical-align: top } small { color: #666 }
      .phase th { background: #eee } .pass { background: #dfd } .warn { background: #ffc } .fail { background: #fcc }
      .skip { color: #888 }
      thead th { position: sticky; top: 0; background: #fff } pre { font-size: 12px; max-width: 60em; overflow: auto }
      summary { cursor: pointer }
      </style></head><body>
      <h1>NBD conformance</h1>
      <p>Clauses of the protocol's specification down, servers across. A cell opens to what was said.</p>
      <table><thead><tr><th>clause</th><th></th>\(heads)</tr></thead><tbody>
      \(rows)</tbody></table></body></html>

      """
  }

  private static func cell(_ result: Result?) -> String {
    guard let result else { return "<td></td>" }
    let name = result.verdict.rawValue
    var words = ""
    if !result.found.isEmpty {
      words = (result.expected.isEmpty ? "" : "expected: \(result.expected)\n") + "found: \(result.found)"
    }
    let all = [words, result.conversation.joined(separator: "\n")].filter { !$0.isEmpty }.joined(separator: "\n\n")
    guard !all.isEmpty else { return "<td class=\(name)>\(name)</td>" }
    return "<td class=\(name)><details><summary>\(name)</summary><pre>\(Report.escaped(all))</pre></details></td>"
  }
}

extension Report {
  /// The page of a single report.
  var html: String { Comparison([self]).html }
}
