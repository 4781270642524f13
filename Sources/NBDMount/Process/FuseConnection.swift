import NBDProtocol
import SystemPackage

/// The kernel's handle on a mounted FUSE filesystem, from outside it.
///
/// Look it up while the mount is healthy: when it is not, it may be gone from the table already, and there
/// is no other safe way to learn its number.
struct FuseConnection: Hashable, Sendable {
  /// Minor number of the filesystem's device: the name under /sys/fs/fuse/connections.
  var minor: UInt32

  /// Fails every request, waiting and future, with ECONNABORTED and ends the session: the last resort when a
  /// server hangs. Acts at once and touches nothing but sysfs. Data not yet written is lost.
  ///
  /// - Throws: ``NBDError/system(_:doing:)``: ENOENT where the connection, or the fusectl filesystem, is gone.
  func abort() throws(NBDError) {
    let path = "/sys/fs/fuse/connections/\(minor)/abort"
    do {
      let file = try FileDescriptor.open(FilePath(path), .writeOnly, options: .closeOnExec)
      try file.closeAfter { _ = try file.writeAll("1".utf8) }
    } catch {
      throw NBDError(error, doing: "writing \(path)")
    }
  }
}
