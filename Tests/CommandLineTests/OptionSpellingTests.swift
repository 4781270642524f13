import Testing

@testable import NBDMount

/// How options may be written: as getopt_long(3) reads them.
@Suite struct OptionSpellingTests {
  private func normalized(_ line: String) throws -> String {
    try OptionSpelling.normalized(line.split(separator: " ").map(String.init)).joined(separator: " ")
  }

  @Test(arguments: [
    ("--conn 4 dir U", "--connections=4 -- dir U"), ("--conn=4 dir U", "--connections=4 -- dir U"),
    ("--read-o dir U", "--readonly -- dir U"), ("--reado dir U", "--readonly -- dir U"),
    // Both are names of one option.
    ("--pi x dir U", "--pidfile=x -- dir U"), ("--verb --vers", "--verbose --version --"),
    // A name that is whole is no abbreviation of a longer one.
    ("--read-only dir U", "--readonly -- dir U"),
  ])
  func longNamesMayBeCutShort(line: String, result: String) throws {
    #expect(try normalized(line) == result)
  }

  @Test(arguments: [
    ("-rsv dir U", "--readonly -s --verbose -- dir U"), ("-rC 4 dir U", "--readonly --connections=4 -- dir U"),
    ("-rC4 dir U", "--readonly --connections=4 -- dir U"), ("-rPpid dir U", "--readonly --pidfile=pid -- dir U"),
    ("-oa=b dir U", "-o a=b -- dir U"), ("-P -oa=b -oc=d dir U", "--pidfile=-oa=b -o c=d -- dir U"),
    ("-ro a dir U", "--readonly -o a -- dir U"),
  ])
  func lettersMayBeJoined(line: String, result: String) throws {
    #expect(try normalized(line) == result)
  }

  @Test(arguments: [
    ("dir U -r --conn 4", "--readonly --connections=4 -- dir U"), ("dir -r U -oro", "--readonly -o ro -- dir U"),
    ("dir --tcp h 1 -r", "--readonly -- dir --tcp h 1"), ("dir --unix -r -r", "--readonly -- dir --unix -r"),
    ("dir --fd 3 --background", "--background -- dir --fd 3"), ("-r -- -dir --fd 4", "--readonly -- -dir --fd 4"),
  ])
  func optionsMayFollowTheOperands(line: String, result: String) throws {
    #expect(try normalized(line) == result)
  }

  /// A server's own command line, to its end.
  @Test(arguments: ["[", "--command", "--socket-activation", "--systemd-socket-activation"])
  func aCommandsOptionsAreItsOwn(mode: String) throws {
    #expect(try normalized("-v dir \(mode) prog -r -ox --help -- ]") == "--verbose -- dir \(mode) prog -r -ox --help -- ]")
    #expect(try normalized("dir -r \(mode) prog -r") == "--readonly -- dir \(mode) prog -r")
  }

  @Test(arguments: [
    ("--rea dir U", "--rea is ambiguous: --read-only, --readonly, --read-ahead"), ("--bogus", "unknown option --bogus"),
    ("-x dir U", "unknown option -x"), ("-rx dir U", "unknown option -x in -rx"), ("--read-only=1", "takes no value"),
    ("dir U -C", "-C needs a value"), ("dir U --export", "--export needs a value"),
  ])
  func whatIsNoOptionIsNamed(line: String, message: String) {
    do throws(UsageError) {
      _ = try OptionSpelling.normalized(line.split(separator: " ").map(String.init))
      Issue.record("\(line) was taken")
    } catch {
      #expect(error.description.hasSuffix(message), "\(error)")
    }
  }

  /// What ArgumentParser knows is what the table knows, but for what the help does not show.
  @Test func theTableIsWhatTheHelpSays() {
    var inHelp: [String: Bool] = [:]
    let help = MountCommand.helpMessage(columns: 120).split(separator: "\n").drop { $0 != "OPTIONS:" }
    for line in help where line.hasPrefix("  -") {
      // "  -C, --connections <N>  Explanation": the names end where two blanks begin.
      let names = line.dropFirst(2).prefix(through: line.firstRange(of: "   ")?.lowerBound ?? line.index(before: line.endIndex))
      let words = names.split(whereSeparator: { $0 == " " || $0 == "," }).map(String.init)
      for word in words where word.hasPrefix("-") { inHelp[word] = names.contains("<") }
    }
    let hidden: Set = ["--long-options", "--short-options", "--generate-completion-script"]
    var inTable: [String: Bool] = [:]
    for option in OptionSpelling.all {
      for name in option.names where !hidden.contains(name) { inTable[name] = option.takesValue }
    }
    #expect(inHelp.sorted { $0.key < $1.key }.map { "\($0)" } == inTable.sorted { $0.key < $1.key }.map { "\($0)" })
  }

  /// What the completion of a shell asks nbdfuse for.
  @Test func theNamesAreListed() {
    guard case .show(let long) = CommandLineOutcome(arguments: ["--long-options"]),
      case .show(let short) = CommandLineOutcome(arguments: ["--short-options"])
    else {
      Issue.record("they are not shown")
      return
    }
    let nbdfuse = (
      ["--fuse-help", "--help", "--connections", "--pidfile", "--pid-file", "--readonly", "--read-only", "--verbose", "--version"],
      ["-C", "-d", "-o", "-P", "-r", "-s", "-v", "-V"]
    )
    let names = (long.split(separator: "\n").map(String.init), short.split(separator: "\n").map(String.init))
    #expect(Set(names.0).isSuperset(of: nbdfuse.0) && names.0.allSatisfy { $0.hasPrefix("--") })
    #expect(Set(names.1).isSuperset(of: nbdfuse.1) && names.1.allSatisfy { $0.count == 2 })
  }
}
