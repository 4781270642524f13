import Logging
import NBDProtocol
import SystemPackage

/// What the kernel lets root set for a mount once it is there, through `/sys/class/bdi`.
struct MountTuning {
  /// Read-ahead of sequential readers in bytes, unless the user says otherwise. FUSE's own is 128 KiB, which leaves a
  /// reader waiting for each round trip; measured, 2 MiB doubles its speed and more brings nothing.
  private static let readAhead = 2 << 20
  /// Percent of the machine's dirty page limit that the mount may use. FUSE's own is 1, so that a large buffered
  /// write stops and goes. The kernel keeps the limit strict, so that a hanging server holds no more than that.
  private static let dirtyRatio = 20

  private let directory: String

  init(_ entry: MountTable.Entry) { directory = "/sys/class/bdi/\(entry.major):\(entry.minor)" }

  /// Sets what may be set. An ordinary user may not, and loses nothing but speed: that is worth a line for `--verbose` only.
  ///
  /// - Parameter readAhead: bytes; nil for the default.
  /// - Returns: whether the read-ahead is set; ``Prefetcher`` is for where it is not.
  func apply(readAhead: Int?) -> Bool {
    write("max_ratio", Self.dirtyRatio)
    return write("read_ahead_kb", (readAhead ?? Self.readAhead) / 1024)
  }

  @discardableResult
  private func write(_ name: String, _ value: Int) -> Bool {
    let path = "\(directory)/\(name)"
    do {
      let file = try FileDescriptor.open(FilePath(path), .writeOnly, options: .closeOnExec)
      try file.closeAfter { _ = try file.writeAll("\(value)".utf8) }
      return true
    } catch {
      Logger(label: "nbdmount").debug("cannot set \(path): \(error)")
      return false
    }
  }
}
