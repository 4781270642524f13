import Foundation

/// Reproducible bytes that do not compress, repeat or hold zero pages.
public enum Pattern {
  /// Writes `size` of them to a new file `name` and returns its path. Another `seed` gives other bytes.
  public static func file(
    _ name: String, size: UInt64, seed: UInt8 = 0, in directory: TemporaryDirectory
  ) async throws -> String {
    let path = directory / name
    // A cipher's key stream is the fastest source there is on every machine.
    let key = String(format: "%032x", Int(seed) + 1)
    try await succeed(
      [
        "sh", "-c", "openssl enc -aes-128-ctr -K \"$1\" -iv \"$1\" -in /dev/zero 2>/dev/null | head -c \"$2\" >\"$3\"",
        "sh", key, "\(size)", path,
      ], within: .seconds(120))
    return path
  }
}
