import ArgumentParser

/// A length of time: a number of seconds, or one with `ms`, `s`, `m` or `h`; or `forever`.
struct TimeSpan: Hashable, Sendable, ExpressibleByArgument {
  /// Nanoseconds; nil is for ever.
  let nanoseconds: UInt64?

  /// The longest: a year. More is as good as for ever, and sums of times must not overflow.
  private static let most = 365.0 * 24 * 3600

  static let forever = TimeSpan(nanoseconds: nil)

  static func seconds(_ count: UInt64) -> TimeSpan { TimeSpan(nanoseconds: count * 1_000_000_000) }

  private init(nanoseconds: UInt64?) { self.nanoseconds = nanoseconds }

  init?(argument: String) {
    if argument == "forever" {
      self = .forever
      return
    }
    let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let first = digits.first, first != ".", digits.last != ".", let count = Double(digits),
      let unit = Self.seconds(of: argument.dropFirst(digits.count)), count * unit <= Self.most
    else { return nil }
    self.init(nanoseconds: UInt64(count * unit * 1e9))
  }

  private static func seconds(of unit: Substring) -> Double? {
    switch unit {
    case "ms": 0.001
    case "", "s": 1
    case "m", "min": 60
    case "h": 3600
    default: nil
    }
  }
}
