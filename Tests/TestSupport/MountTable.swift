import Foundation
import Glibc

/// One line of `/proc/self/mountinfo`.
public struct MountTableEntry: Sendable {
  public let mountpoint: String
  /// Minor number of the device: for FUSE also the name of the connection in `/sys/fs/fuse/connections`.
  public let minor: Int
  public let type: String
  public let source: String
  public let options: [String]
}

/// The mounts of this process's namespace, read without touching a mount: a hanging one cannot hang the reader.
public enum MountTable {
  public static func current() -> [MountTableEntry] {
    guard let text = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8) else { return [] }
    return text.split(separator: "\n").compactMap(parse)
  }

  /// The mount on top at `path`, if there is one.
  public static func entry(at path: String) -> MountTableEntry? { current().last { $0.mountpoint == path } }

  private static func parse(_ line: Substring) -> MountTableEntry? {
    // id parent major:minor root mountpoint options [optional...] - type source superoptions
    let fields = line.split(separator: " ").map(String.init)
    guard fields.count > 6, let dash = fields.firstIndex(of: "-"), fields.count > dash + 2,
      let minor = fields[2].split(separator: ":").last.flatMap({ Int($0) })
    else { return nil }
    let superOptions = fields.count > dash + 3 ? fields[dash + 3] : ""
    return MountTableEntry(
      mountpoint: unescape(fields[4]), minor: minor, type: fields[dash + 1], source: unescape(fields[dash + 2]),
      options: (fields[5] + "," + superOptions).split(separator: ",").map(String.init))
  }

  /// The kernel writes blanks and backslashes as three octal digits.
  private static func unescape(_ field: String) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")].reduce(field) {
      $0.replacingOccurrences(of: $1.0, with: $1.1)
    }
  }
}
