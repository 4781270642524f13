import ArgumentParser

/// A number of bytes: digits, then nothing or one of K, M, G, T (powers of 1024; `KiB` and `k` too).
struct ByteSize: Hashable, Sendable, ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && $0.isNumber }
    guard let count = Int(digits), let shift = Self.shift(argument.dropFirst(digits.count)) else { return nil }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: 1 << shift)
    guard !overflow else { return nil }
    self.bytes = bytes
  }

  private static func shift(_ suffix: Substring) -> Int? {
    switch suffix.uppercased() {
    case "", "B": 0
    case "K", "KIB": 10
    case "M", "MIB": 20
    case "G", "GIB": 30
    case "T", "TIB": 40
    default: nil
    }
  }
}
