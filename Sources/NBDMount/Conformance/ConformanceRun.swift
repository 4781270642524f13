import Glibc
import NBDConformance
import NBDProtocol

/// Carries out `nbdmount conformance`: reports on standard output, progress and what is wrong on standard error.
struct ConformanceRun {
  let configuration: ConformanceConfiguration

  /// - Returns: the exit status: 0 no failures, 1 failures, 2 the checks could not run.
  func run() -> Int32 {
    do throws(NBDError) {
      switch configuration.action {
      case .list(let only):
        for check in Suite.matching(only).checks {
          let clause = check.clause
          print("\(clause.id)\t\(clause.level.rawValue)\t\(clause.phase)\t\(clause.text)")
        }
        return 0
      case .explain(let id, let server): return try explain(id, server)
      case .compare(let files): return try compare(files)
      case .run(let server, let only):
        let report = try report(server, Suite.matching(only).checks)
        print(report.formatted(configuration.format), terminator: "")
        return report.exitStatus
      }
    } catch {
      Diagnostics.error("\(error)")
      return 2
    }
  }

  private func report(_ location: ServerLocation, _ checks: [Check]) throws(NBDError) -> Report {
    let server = try ServerTarget(location, exportName: configuration.exportName, configuration.tls)
    let target = try LiveTarget(server.address, tls: server.tls)
    defer { target.shutDown() }
    var settings = Settings()
    settings.timeout = configuration.timeout
    let name = server.request.exportName
    let runner = Runner(
      target, settings: settings, exportName: Array(name.utf8), writes: configuration.writes, isStrict: configuration.isStrict)
    let start = MonotonicClock.now
    let showsProgress = isatty(STDERR_FILENO) == 1
    let results: [Result]
    do {
      results = try runner.run(checks) { index, check in
        if showsProgress { progress("\(index + 1)/\(checks.count) \(check.id)") }
      }
    } catch let error as NBDError { throw error } catch { throw .disconnected("\(error)") }
    if showsProgress { progress("") }
    if target.tls != nil, !runner.usesTLS, runner.obstacle == nil {
      Diagnostics.note("the server has no TLS: the checks ran in the clear")
    }
    if let obstacle = runner.obstacle { Diagnostics.note("\(obstacle): what comes after the handshake is not checked") }
    return Report(
      server: target.name, export: printable(name), seconds: Double(MonotonicClock.now - start) / 1e9, results: results)
  }

  /// Over what the line said before.
  private func progress(_ text: String) {
    let line = Array("\r\u{1b}[K\(text)".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }

  private func explain(_ id: String, _ server: ServerLocation?) throws(NBDError) -> Int32 {
    guard let clause = Catalogue.clause(id) else { throw .invalidArgument("there is no clause \(id)") }
    print(clause.explanation)
    guard let check = Suite.all.first(where: { $0.id == id }) else {
      print(Suite.reasonsWhyNot[id].map { "No check: \($0)." } ?? "No check: it is about clients.")
      return 0
    }
    guard let server else {
      print("With a server behind it, --explain \(id) URI shows every byte that is sent and comes back.")
      return 0
    }
    let report = try report(server, [check])
    for result in report.results {
      for line in result.conversation { print(line) }
      print("\nVerdict: \(result.verdict.rawValue)")
      if !result.expected.isEmpty { print("Expected: \(result.expected)") }
      if !result.found.isEmpty { print("Found:    \(result.found)") }
    }
    return report.exitStatus
  }

  private func compare(_ files: [String]) throws(NBDError) -> Int32 {
    var reports: [Report] = []
    for file in files {
      guard let report = Report(json: try Self.contents(file)) else {
        throw .invalidArgument("\(printable(file)) is no report in JSON")
      }
      reports.append(report)
    }
    let comparison = Comparison(reports)
    print(configuration.format == .html ? comparison.html : comparison.text, terminator: "")
    return reports.allSatisfy { $0.exitStatus == 0 } ? 0 : 1
  }

  private static func contents(_ path: String) throws(NBDError) -> [UInt8] {
    guard let file = fopen(path, "r") else { throw .system(.init(rawValue: errno), doing: "reading \(printable(path))") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&piece, 1, piece.count, file), count > 0 {
      bytes += piece.prefix(count)
      guard bytes.count < 256 << 20 else { throw .invalidArgument("\(printable(path)) is too long for a report") }
    }
    return bytes
  }
}
