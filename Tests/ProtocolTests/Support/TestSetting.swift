import Glibc

/// What the environment asks of the tests: longer runs, recordings. Nothing has to be set.
enum TestSetting {
  static func text(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
  static func number(_ name: String) -> Int? { text(name).flatMap { Int($0) } }
}
