/// The one spelling of nbdfuse's that ArgumentParser does not read: `-oNAME=VALUE` in one word, in which it
/// takes `oNAME` for a name.
enum OptionSpelling {
  /// Options whose value is the next word, which must not be looked at. A test compares this with the help.
  static let takingValue: Set<String> = [
    "-C", "--connections", "--export", "--cache", "--read-ahead", "--engine", "--busy-poll-us",
    "-P", "--pidfile", "--pid-file", "-o",
  ]

  /// Makes `-oOPT` two words, among the options only: what follows MOUNTPOINT is not ours to change.
  static func normalized(_ arguments: [String]) -> [String] {
    var result: [String] = []
    var rest = arguments[...]
    while let word = rest.first, word.hasPrefix("-"), word != "--" {
      rest.removeFirst()
      if word.hasPrefix("-o"), word.utf8.count > 2 {
        result += ["-o", String(word.dropFirst(2))]
      } else {
        result.append(word)
        if takingValue.contains(word), let value = rest.popFirst() { result.append(value) }
      }
    }
    return result + rest
  }
}
