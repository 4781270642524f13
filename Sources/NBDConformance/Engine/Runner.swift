import NBDProtocol

/// Runs checks against one server, and survives whatever it does.
package final class Runner {
  private let target: any Target
  private let settings: Settings
  private let exportName: [UInt8]
  /// The export may be written to.
  private let writes: Bool
  /// What SHOULD be counts as what MUST be.
  private let isStrict: Bool
  private let book = RuleBook()
  private(set) var facts = Facts()

  /// Why the transmission phase cannot be checked, after a run; nil where it was.
  package var obstacle: String? { facts.obstacle }

  /// The checks ran inside TLS.
  package var usesTLS: Bool { facts.usesTLS }

  package init(
    _ target: any Target, settings: Settings = Settings(), exportName: [UInt8] = [], writes: Bool = false, isStrict: Bool = false
  ) {
    self.target = target
    self.settings = settings
    self.exportName = exportName
    self.writes = writes
    self.isStrict = isStrict
  }

  /// The server is gone, and the name of the check that it did not survive.
  private var dead: String?

  /// Runs `checks`, those that may kill the server last, and gives their results in the order of `checks`.
  ///
  /// `progress` is called before each. Throws ``NBDError`` where no connection can be made at all, and where TLS was asked for
  /// and cannot be had.
  package func run(_ checks: [Check], progress: (Int, Check) -> Void = { _, _ in }) throws -> [Result] {
    let survey = Survey(target, settings, exportName: exportName)
    facts = try survey.run()
    facts.isScratch = writes
    _ = target.takeCrash(within: Self.endLimit)
    var results: [String: Result] = [:]
    let order = checks.filter { !$0.isRisky } + checks.filter(\.isRisky)
    for (index, check) in order.enumerated() {
      progress(index, check)
      results[check.id] = run(check)
    }
    for check in checks where check.isObserved { results[check.id] = settle(check, results[check.id]) }
    return checks.compactMap { results[$0.id] }
  }

  private func run(_ check: Check) -> Result {
    let clause = check.clause
    var result = Result(id: check.id, verdict: .pass)
    if let dead {
      result.verdict = .skip
      result.found = "the server stopped accepting connections after \(dead)"
      return result
    }
    if let reason = reasonToSkip(check, clause) {
      result.verdict = .skip
      result.found = reason
      return result
    }
    let start = MonotonicClock.now
    let probe = Probe(clause, target, settings, facts, book)
    do { try check.body(probe) } catch let finding as Finding {
      apply(finding, clause, to: &result)
    } catch {
      apply(Finding(kind: .broken, expected: "a check that can be made", found: "\(error)"), clause, to: &result)
    }
    let metItsEnd = probe.hasMetItsEnd || result.verdict == .fail
    probe.closeAll()
    if probe.restartsServer { startAgain() }
    noteCrash(check, &result, probe.transcript, within: metItsEnd ? Self.endLimit : 0)
    if metItsEnd {
      lookForLife(check, &result, probe.transcript)
      noteCrash(check, &result, probe.transcript, within: 0)
    }
    result.conversation = probe.transcript.lines
    result.seconds = Double(MonotonicClock.now - start) / 1e9
    return result
  }

  /// Milliseconds from the end of a connection to that of the process.
  private static let endLimit = 100

  private func reasonToSkip(_ check: Check, _ clause: Clause) -> String? {
    guard clause.needsWriting else { return nil }
    if !writes { return "needs --write and a scratch export" }
    return facts.isReadOnly && !check.triesReadOnly ? "the export is read-only" : nil
  }

  private func apply(_ finding: Finding, _ clause: Clause, to result: inout Result) {
    result.expected = finding.expected
    result.found = finding.found
    switch finding.kind {
    case .licensedEnd: result.verdict = .pass
    case .skipped: result.verdict = .skip
    case .broken: result.verdict = .fail
    case .missed: result.verdict = clause.level == .should && !isStrict ? .warn : .fail
    case .warned: result.verdict = isStrict ? .fail : .warn
    }
  }

  /// Asked after each check, so that the next is not blamed.
  private func noteCrash(_ check: Check, _ result: inout Result, _ transcript: Transcript, within milliseconds: Int) {
    guard let crash = target.takeCrash(within: milliseconds) else { return }
    transcript.add(0, .event, "the server \(crash)")
    result.verdict = .fail
    result.expected = result.expected.isEmpty ? "a server that goes on" : result.expected
    result.found = "the server \(crash) after \(check.id)"
  }

  /// After a connection that ended: the server is there for another. One that was started here and hangs is started again.
  private func lookForLife(_ check: Check, _ result: inout Result, _ transcript: Transcript) {
    guard let silence = reasonOfSilence() else { return }
    transcript.add(0, .event, "the server does not greet another client: \(silence)")
    result.verdict = .fail
    result.expected = "a server that goes on"
    result.found = "the server stopped accepting connections after \(check.id)"
    if target.isStartedHere {
      startAgain()
      if reasonOfSilence() == nil { return result.found += ", and was started again" }
    }
    dead = check.id
  }

  /// Why a new client is not greeted; nil where it is.
  private func reasonOfSilence() -> String? {
    do {
      let socket = try target.connect(deadline: .after(milliseconds: settings.timeout))
      let stream = ByteStream(socket, patience: settings.timeout, deadline: .after(milliseconds: settings.timeout * 2))
      _ = try stream.receive(8)
      return nil
    } catch { return "\(error)" }
  }

  /// Ends the server where it was started here; the next connection starts another. How this one ends is our doing.
  private func startAgain() {
    target.shutDown()
    _ = target.takeCrash(within: 0)
  }

  /// The verdict of a rule that every message has to keep.
  private func settle(_ check: Check, _ own: Result?) -> Result {
    var result = own ?? Result(id: check.id, verdict: .skip)
    let entry = book.entries[check.id]
    if let (finding, transcript) = entry?.firstBreak {
      apply(finding, check.clause, to: &result)
      result.conversation = transcript
    } else if result.verdict == .pass, entry == nil {
      result.verdict = .skip
      result.found = "the server said nothing that the rule is about"
    }
    return result
  }
}

extension Probe {
  /// Ends all connections of the check.
  func closeAll() {
    for session in sessions { session.leave() }
    releaseSessions()
  }
}
