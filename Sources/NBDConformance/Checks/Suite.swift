/// All checks, by phase, in the order of the specification.
package enum Suite {
  package static let all: [Check] =
    greeting + oldstyle + clientFlags + handshakeRobustness
    + optionReplies + abort + list + exportName + information + informationErrors + structuredReplyOption
    + startTLS + insideTLS + versionsOfTLS + endOfTLS + blockSizes + blockSizeRequests
    + listContexts + setContexts + contextSyntax + blockStatus + allocation
    + transmissionFlags + framing + read + write + readOnly + disconnect + flush + trim + cache + writeZeroes + commandErrors
    + connections + shutdown
    + structuredReplies + structuredReads + structuredErrors
    + extendedOption + extendedBeforeTLS + extendedReplies + extendedRequests

  /// Those whose clause, phase or section `words` name; all where there are none. A section may be named by a part of it, unless
  /// that is the name of a phase.
  ///
  /// - Returns: nil, and the word, where a word names nothing.
  package static func matching(_ words: [String]) -> (checks: [Check], unknown: String?) {
    guard !words.isEmpty else { return (all, nil) }
    var chosen: Set<String> = []
    for word in words {
      let lower = word.lowercased()
      let isPhase = all.contains { $0.clause.phase == lower }
      let found = all.filter { check in
        let clause = check.clause
        if isPhase { return clause.phase == lower }
        return clause.id.lowercased() == lower || clause.id.lowercased().hasPrefix(lower + "-")
          || (lower.count > 3 && clause.section.lowercased().contains(lower))
      }
      guard !found.isEmpty else { return ([], word) }
      chosen.formUnion(found.map(\.id))
    }
    return (all.filter { chosen.contains($0.id) }, nil)
  }
}
