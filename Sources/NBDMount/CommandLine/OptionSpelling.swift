/// The options as getopt_long(3) reads them for nbdfuse, which is more than ArgumentParser does: a long name may be cut short,
/// a letter that takes a value may end a cluster of others, `-oNAME=VALUE` is one word; and as sshfs and mount(8) have it,
/// options may follow the operands.
enum OptionSpelling {
  struct Option: Sendable {
    /// Letters with one dash, words with two. The last is how ArgumentParser is told, with its value after `=`.
    let names: [String]
    let takesValue: Bool

    init(_ names: String..., takesValue: Bool = false) {
      self.names = names
      self.takesValue = takesValue
    }
  }

  /// All of them. A test compares this with the help.
  static let all: [Option] = [
    Option("-C", "--connections", takesValue: true),
    Option("--export", takesValue: true),
    Option("-r", "--read-only", "--readonly"),
    Option("--cache", takesValue: true),
    Option("--read-ahead", takesValue: true),
    Option("--engine", takesValue: true),
    Option("--busy-poll-us", takesValue: true),
    Option("--mlock"),
    Option("--drop-privileges", takesValue: true),
    Option("--reconnect-timeout", takesValue: true),
    Option("--open-timeout", takesValue: true),
    Option("--io-timeout", takesValue: true),
    Option("--quiesce", takesValue: true),
    Option("--write-log", takesValue: true),
    Option("--failover", takesValue: true),
    Option("--tls", takesValue: true),
    Option("--tls-certificates", takesValue: true),
    Option("--tls-psk-file", takesValue: true),
    Option("--tls-username", takesValue: true),
    Option("--tls-hostname", takesValue: true),
    Option("--tls-verify-peer", takesValue: true),
    Option("--tls-files-from-uri"),
    Option("--background"),
    Option("-P", "--pid-file", "--pidfile", takesValue: true),
    Option("-o", takesValue: true),
    Option("-v", "--verbose"),
    Option("-d"),
    Option("-f"),
    Option("-s"),
    Option("--fuse-help"),
    Option("--long-options"),
    Option("--short-options"),
    Option("-V", "--version"),
    Option("-h", "--help"),
    Option("--generate-completion-script", takesValue: true),
  ]

  /// Every name of that many dashes, one a line: what nbdfuse prints for a shell's completion.
  static func names(dashes: Int) -> String {
    all.flatMap(\.names).filter { $0.hasPrefix("--") == (dashes == 2) }.joined(separator: "\n")
  }

  /// The options in ArgumentParser's spelling, `--`, and the operands.
  ///
  /// The words after a mode such as `--command` belong to the mode, as many of them as it has, whatever they look like.
  ///
  /// - Parameters:
  ///   - table: the options that there are.
  ///   - modeIsFirst: the mode is the first operand; otherwise MOUNTPOINT is.
  static func normalized(
    _ arguments: [String], _ table: [Option] = all, modeIsFirst: Bool = false
  ) throws(UsageError) -> [String] {
    var options: [String] = []
    var operands: [String] = []
    var rest = arguments[...]
    while let word = rest.popFirst() {
      if modeIsFirst || !operands.isEmpty, let count = ServerLocation.operandCount(ofMode: word) {
        operands += [word] + rest.prefix(count)
        rest = rest.dropFirst(count)
      } else if word == "--" {
        operands += rest
        break
      } else if word.utf8.starts(with: "--".utf8) {
        options += try long(word, &rest, table)
      } else if word.utf8.first == UInt8(ascii: "-"), word.utf8.count > 1 {
        options += try cluster(word, &rest, table)
      } else {
        operands.append(word)
      }
    }
    return options + ["--"] + operands
  }

  /// `--name`, `--name=value`, or `--name` and the next word.
  private static func long(
    _ word: String, _ rest: inout ArraySlice<String>, _ table: [Option]
  ) throws(UsageError) -> [String] {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let option = try named(parts[0], table)
    guard option.takesValue else {
      if parts.count > 1 { throw UsageError("\(parts[0]) takes no value") }
      return [option.names.last ?? word]
    }
    return try valued(option, parts[0], parts.count > 1 ? parts[1] : rest.popFirst())
  }

  /// Letters without values, of which the last may take the rest of the word, or the next one.
  private static func cluster(
    _ word: String, _ rest: inout ArraySlice<String>, _ table: [Option]
  ) throws(UsageError) -> [String] {
    var result: [String] = []
    var letters = word.dropFirst()
    while let letter = letters.popFirst() {
      guard let option = table.first(where: { $0.names.contains("-\(letter)") }) else {
        throw UsageError("unknown option \(letters.isEmpty && result.isEmpty ? word : "-\(letter) in \(word)")")
      }
      if option.takesValue {
        return result + (try valued(option, "-\(letter)", letters.isEmpty ? rest.popFirst() : String(letters)))
      }
      result.append(option.names.last ?? word)
    }
    return result
  }

  private static func valued(
    _ option: Option, _ given: String, _ value: String?
  ) throws(UsageError) -> [String] {
    guard let value else { throw UsageError("\(given) needs a value") }
    guard let name = option.names.last, name.hasPrefix("--") else { return [given, value] }
    return ["\(name)=\(value)"]
  }

  /// The option of that name, or the only one whose name begins so.
  private static func named(_ name: String, _ table: [Option]) throws(UsageError) -> Option {
    if let exact = table.first(where: { $0.names.contains(name) }) { return exact }
    let candidates = name == "--" ? [] : table.filter { $0.names.contains { $0.hasPrefix(name) } }
    guard let only = candidates.first else { throw UsageError("unknown option \(name)") }
    guard candidates.count == 1 else {
      let names = candidates.flatMap(\.names).filter { $0.hasPrefix(name) }
      throw UsageError("\(name) is ambiguous: \(names.joined(separator: ", "))")
    }
    return only
  }
}
