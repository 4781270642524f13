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
        "sh", "-c", "head -c \"$2\" /dev/zero | openssl enc -aes-128-ctr -K \"$1\" -iv \"$1\" -out \"$3\"",
        "sh", key, "\(size)", path,
      ], within: .seconds(120))
    // A source that is shorter makes every comparison one of less than was meant.
    let written = try FileManager.default.attributesOfItem(atPath: path)[.size] as? UInt64
    guard written == size else { throw TestFailure("\(path) has \(written ?? 0) bytes, not \(size)") }
    return path
  }
}
