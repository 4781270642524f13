/// Reports for programs: TAP and JUnit.
extension Report {
  /// Test Anything Protocol, version 13. A warning is a pass with a `TODO`.
  var tap: String {
    var lines = ["TAP version 13", "1..\(results.count)"]
    for (index, result) in results.enumerated() {
      let name = "\(index + 1) - \(result.id) \(result.clause?.text.replacing("#", with: "\\#") ?? "")"
      switch result.verdict {
      case .pass: lines.append("ok \(name)")
      case .skip: lines.append("ok \(name) # SKIP \(result.found)")
      case .warn, .fail:
        lines.append("not ok \(name)" + (result.verdict == .warn ? " # TODO \(result.level)" : ""))
        lines += ["  ---", "  expected: \(JSON.quoted(result.expected))", "  found: \(JSON.quoted(result.found))", "  ..."]
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// JUnit's XML. A warning is a pass with words.
  var junit: String {
    let cases = results.map { result in
      let head =
        "  <testcase classname=\"\(Self.escaped(result.phase))\" name=\"\(result.id)\" time=\"\(Self.twoDecimals(result.seconds))\""
      let words = Self.escaped("expected \(result.expected); found \(result.found)")
      switch result.verdict {
      case .pass: return head + "/>"
      case .skip: return head + "><skipped message=\"\(Self.escaped(result.found))\"/></testcase>"
      case .warn: return head + "><system-out>warning: \(words)</system-out></testcase>"
      case .fail:
        return head
          + "><failure message=\"\(words)\">\(Self.escaped(result.conversation.joined(separator: "\n")))</failure></testcase>"
      }
    }
    return """
      <?xml version="1.0" encoding="UTF-8"?>
      <testsuite name="\(Self.escaped(server))" tests="\(results.count)" failures="\(count(.fail))" skipped="\(count(.skip))" \
      time="\(Self.twoDecimals(seconds))">
      \(cases.joined(separator: "\n"))
      </testsuite>

      """
  }

  /// For XML and HTML; what neither may contain is left out.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "\n", "\t": result.unicodeScalars.append(scalar)
      case _ where scalar.properties.generalCategory == .control || scalar == "\u{fffe}" || scalar == "\u{ffff}": continue
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
