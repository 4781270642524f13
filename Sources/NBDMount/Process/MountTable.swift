import NBDProtocol
import SystemPackage

/// The kernel's list of this process's mounts, `/proc/self/mountinfo` (*proc(5)*).
///
/// Reading it never touches a mounted filesystem, so it is safe even for a mount of our own, or a dead one.
struct MountTable: Sendable {
  struct Entry: Hashable, Sendable {
    /// Unique among the mounts that exist now.
    var id: UInt64
    var major: UInt32
    /// For FUSE: the number of the connection under /sys/fs/fuse/connections.
    var minor: UInt32
    /// Absolute, with the kernel's octal escapes undone.
    var mountpoint: String
    /// For example `fuse.nbdmount`.
    var type: String
    var source: String

    var isFuse: Bool { type == "fuse" || type.hasPrefix("fuse.") || type == "fuseblk" }
  }

  /// Where one mount hides another, the upper one comes later.
  var entries: [Entry]

  init(text: String) {
    // In bytes, here and below: to Swift's characters, "\r\n" is no newline, and a blank with an accent upon it no blank.
    entries = text.utf8.split(separator: UInt8(ascii: "\n")).compactMap { Self.entry($0) }
  }

  /// Reads the table as it is now.
  static func current() throws(NBDError) -> MountTable {
    MountTable(text: String(decoding: try readWholeFile("/proc/self/mountinfo"), as: UTF8.self))
  }

  /// The uppermost mount at exactly this absolute path.
  func mount(at path: String) -> Entry? { entries.last { isSamePath($0.mountpoint, path) } }

  private static func entry(_ line: Substring.UTF8View) -> Entry? {
    let fields = line.split(separator: UInt8(ascii: " ")).map { Substring($0) }
    // A variable number of optional fields ends with a lone dash.
    guard fields.count > 6, let dash = fields.dropFirst(6).firstIndex(of: "-"), dash + 2 < fields.count,
      let id = UInt64(fields[0])
    else { return nil }
    let device = fields[2].split(separator: ":")
    guard device.count == 2, let major = UInt32(device[0]), let minor = UInt32(device[1]) else { return nil }
    return Entry(
      id: id, major: major, minor: minor, mountpoint: unescaped(fields[4]),
      type: unescaped(fields[dash + 1]), source: unescaped(fields[dash + 2]))
  }

  /// Undoes `\040` and the like: the kernel escapes space, tab, newline, backslash and the number sign.
  private static func unescaped(_ field: Substring) -> String {
    guard field.utf8.contains(UInt8(ascii: "\\")) else { return String(field) }
    var bytes = Array(field.utf8)[...]
    var result: [UInt8] = []
    while let byte = bytes.popFirst() {
      let digits = bytes.prefix(3).map { $0 &- 0x30 }
      if byte == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ $0 < 8 }), digits[0] < 4 {
        result.append(digits[0] << 6 | digits[1] << 3 | digits[2])
        bytes = bytes.dropFirst(3)
      } else {
        result.append(byte)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}

/// Whether two paths are the same bytes, as the kernel sees them. Swift's `==` finds `é` equal to `e` and an accent.
func isSamePath(_ one: String, _ other: String) -> Bool { one.utf8.elementsEqual(other.utf8) }

/// Reads a file whose size is not known beforehand, such as those of /proc.
func readWholeFile(_ path: String) throws(NBDError) -> [UInt8] {
  do {
    let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
    return try file.closeAfter {
      var contents: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 16384)
      while true {
        let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
        if count == 0 { return contents }
        contents.append(contentsOf: buffer.prefix(count))
      }
    }
  } catch {
    throw NBDError(error, doing: "reading \(path)")
  }
}

extension NBDError {
  /// swift-system's calls throw ``Errno``, in untyped form.
  init(_ error: any Error, doing: String) {
    self = (error as? Errno).map { .system($0, doing: doing) } ?? .disconnected("\(doing): \(error)")
  }
}
