import ArgumentParser
import NBDConformance

/// `nbdmount conformance`: everything that one run was asked to do, checked and typed.
struct ConformanceConfiguration: Hashable, Sendable {
  enum Action: Hashable, Sendable {
    /// Runs checks, all or those with these ids.
    case run(server: ServerLocation, only: [String])
    case list(only: [String])
    /// Says what a clause is about; with a server, what was said to it.
    case explain(String, server: ServerLocation?)
    /// Files in JSON, side by side.
    case compare([String])
  }
  var action: Action
  var exportName: String?
  var writes = false
  var isStrict = false
  var format = Report.Format.text
  /// Milliseconds.
  var timeout = 2000
  var tls = TLSOptions()
}

/// The command line of `nbdmount conformance`.
struct ConformanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nbdmount conformance",
    abstract: "Check what an NBD server does against what the specification says.",
    usage: """
      nbdmount conformance [OPTION]... URI
      nbdmount conformance [OPTION]... [ CMD ARG... ] | --command CMD ARG... |
                           --tcp HOST PORT | --unix SOCKET | --vsock CID PORT
      nbdmount conformance --explain ID [URI] | --list | --compare FILE...
      """,
    discussion: """
      Without --write nothing on the export is changed. A server given as
      [ CMD ] is started, and started again when it dies or hangs. With an nbds
      URI or an option about TLS the checks run inside TLS, but for those about
      what comes before it, which name the export in the clear.

      EXAMPLES:
        nbdmount conformance nbd://server.example/disk
        nbdmount conformance --write [ nbdkit memory 64M ]
        nbdmount conformance --tls-psk-file keys.psk --tls-username alice URI
        nbdmount conformance --only option,TX-030 --format json URI >a.json
        nbdmount conformance --format html --compare a.json b.json >page.html

      Exit status: 0 when nothing failed, 1 when something did, 2 when the checks
      could not run.
      """)

  @Flag(help: "Run the checks that write, too: the export is scratch.")
  var write = false

  @Flag(help: "Count what SHOULD be like what MUST be.")
  var strict = false

  @Option(help: ArgumentHelp("Clauses, phases or sections, separated by commas.", valueName: "ID,..."))
  var only: String?

  @Flag(help: "List the checks.")
  var list = false

  @Option(help: ArgumentHelp("Explain a clause; with a server, show the bytes.", valueName: "ID"))
  var explain: String?

  @Flag(help: "Put reports in JSON side by side, as text or html.")
  var compare = false

  @Option(help: ArgumentHelp("text, json, tap, junit or html.", valueName: "FORMAT"))
  var format: Report.Format = .text

  @Option(help: ArgumentHelp("Seconds of silence that are a hang.", valueName: "SECONDS"))
  var timeout = 2.0

  @Option(name: .customLong("export"), help: ArgumentHelp("Which export; a URI names its own.", valueName: "NAME"))
  var exportName: String?

  @OptionGroup var tls: TLSArguments

  @Argument(parsing: .captureForPassthrough, help: .hidden)
  var words: [String] = []

  /// The options, for ``OptionSpelling``.
  static let options: [OptionSpelling.Option] = [
    .init("--write"), .init("--strict"), .init("--list"), .init("--compare"), .init("-h", "--help"),
    .init("--only", takesValue: true), .init("--explain", takesValue: true), .init("--format", takesValue: true),
    .init("--timeout", takesValue: true), .init("--export", takesValue: true),
  ] + OptionSpelling.all.filter { $0.names.contains { $0.hasPrefix("--tls") } }

  /// The words besides `conformance`, where the first that is no option is that word: a mountpoint of that name is written with
  /// a slash.
  static func arguments(of all: [String]) -> [String]? {
    var index = 0
    while index < all.count, all[index].hasPrefix("-"), all[index] != "--" {
      let takesValue = (options + OptionSpelling.all).contains { $0.takesValue && $0.names.contains(all[index]) }
      index += takesValue ? 2 : 1
    }
    guard index < all.count, all[index] == "conformance" else { return nil }
    return Array(all[..<index] + all[(index + 1)...])
  }

  static func outcome(_ arguments: [String]) -> CommandLineOutcome {
    do {
      let command = try parse(OptionSpelling.normalized(arguments, options, modeIsFirst: true))
      if command.words.first == "--help" { return .show(helpMessage(columns: 80)) }
      return .conformance(try command.makeConfiguration())
    } catch let error as UsageError {
      return .refuseConformance(error.description)
    } catch {
      if exitCode(for: error) == .success { return .show(fullMessage(for: error)) }
      return .refuseConformance(CommandLineOutcome.oneLine(message(for: error)))
    }
  }

  private func makeConfiguration() throws(UsageError) -> ConformanceConfiguration {
    // The first is the "--" that ends the options.
    let operands = Array(words.dropFirst())
    guard timeout >= 0.01, timeout <= 3600 else { throw UsageError("--timeout must be 0.01 to 3600 seconds") }
    if let exportName, exportName.utf8.count > 4096 { throw UsageError("--export is longer than 4096 bytes") }
    let chosen = (only ?? "").split(separator: ",").map { String($0) }
    if let unknown = Suite.matching(chosen).unknown { throw UsageError("--only: \(unknown) is no clause, phase or section with a check") }
    guard [list, compare, explain != nil].count(where: { $0 }) <= 1 else {
      throw UsageError("--list, --compare and --explain do not go together")
    }
    return ConformanceConfiguration(
      action: try action(operands, chosen), exportName: exportName, writes: write, isStrict: strict, format: format,
      timeout: Int(timeout * 1000), tls: try tls.options())
  }

  private func action(_ operands: [String], _ chosen: [String]) throws(UsageError) -> ConformanceConfiguration.Action {
    if list {
      if let first = operands.first { throw UsageError("unexpected \(first) after --list") }
      return .list(only: chosen)
    }
    if compare {
      guard !operands.isEmpty else { throw UsageError("--compare needs reports in JSON") }
      guard format == .text || format == .html else { throw UsageError("--compare writes text or html") }
      return .compare(operands)
    }
    if let explain {
      guard let clause = Catalogue.clause(explain) else { throw UsageError("--explain: there is no clause \(explain)") }
      return .explain(clause.id, server: operands.isEmpty ? nil : try server(operands))
    }
    guard !operands.isEmpty else {
      throw UsageError("missing the server: a URI, [ CMD ... ], --tcp HOST PORT, ...; nbdmount conformance --help explains them")
    }
    return .run(server: try server(operands), only: chosen)
  }

  private func server(_ operands: [String]) throws(UsageError) -> ServerLocation {
    let server = try ServerLocation(mode: operands)
    if case .uri = server, exportName != nil { throw UsageError("--export does not go with a URI: put the name into the URI") }
    if case .fd = server { throw UsageError("--fd is one connection, and checks need one each") }
    return server
  }
}

extension Report.Format: ExpressibleByArgument {}
