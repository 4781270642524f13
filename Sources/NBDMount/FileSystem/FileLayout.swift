import CFuse3
import Glibc
import NBDProtocol
import Synchronization

/// What the mount looks like: one file, in a directory or by itself, with modes, owners and times.
///
/// Everything here is answered without asking the server. The numbers are fixed at mount time, but for the times and the
/// mode, which the owner may change.
final class FileLayout: Sendable {
  /// The kernel's number for the root of the mount.
  static let root = fuse_ino_t(FUSE_ROOT_ID)

  /// Name of the file in the mounted directory; nil where a file is mounted over, so that the root is the file.
  let filename: String?
  /// The kernel's number for the file.
  let file: fuse_ino_t
  /// Bytes that can be accessed: the export's, in whole minimum blocks. With a larger size the kernel would ask for a last
  /// page that no request may name.
  let size: UInt64
  let isReadOnly: Bool
  /// st_blksize in bytes: what the server prefers.
  let blockSize: UInt32

  private struct Changeable {
    var fileMode: mode_t
    var uid: uid_t
    var gid: gid_t
    var accessed: timespec
    var modified: timespec
    var changed: timespec
  }
  private let changeable: Mutex<Changeable>

  /// - Parameters:
  ///   - shared: other users may be let in, so that the file's mode says 0666 and not 0600.
  ///   - umask: permission bits to take away.
  init(
    filename: String?, export: Export, isReadOnly: Bool, shared: Bool, umask: mode_t, uid: uid_t, gid: gid_t
  ) {
    self.filename = filename
    file = filename == nil ? Self.root : Self.root + 1
    size = export.reachableSize
    self.isReadOnly = isReadOnly
    blockSize = min(max(export.blockSizes.preferred, 4096), 1 << 20)
    let mode: mode_t = isReadOnly ? (shared ? 0o444 : 0o400) : (shared ? 0o666 : 0o600)
    let now = Self.now()
    changeable = Mutex(
      Changeable(fileMode: mode & ~umask, uid: uid, gid: gid, accessed: now, modified: now, changed: now))
  }

  /// The attributes of `inode`, or nil where there is none.
  ///
  /// - Parameter allocated: bytes of the file that take space on the server, as far as known.
  func attributes(of inode: fuse_ino_t, allocated: UInt64) -> stat? {
    let state = changeable.withLock { $0 }
    var attributes = stat()
    attributes.st_ino = ino_t(inode)
    attributes.st_uid = state.uid
    attributes.st_gid = state.gid
    attributes.st_atim = state.accessed
    attributes.st_mtim = state.modified
    attributes.st_ctim = state.changed
    if inode == file {
      attributes.st_mode = S_IFREG | state.fileMode
      attributes.st_nlink = 1
      attributes.st_size = off_t(clamping: size)
      attributes.st_blksize = blksize_t(blockSize)
      attributes.st_blocks = blkcnt_t(clamping: (min(allocated, size) + 511) / 512)
    } else if inode == Self.root {
      attributes.st_mode = S_IFDIR | (isReadOnly ? 0o555 : 0o755)
      attributes.st_nlink = 2
    } else {
      return nil
    }
    return attributes
  }

  /// What the owner may change: mode, owner, times. The size never.
  func change(_ new: stat, _ mask: Int32) {
    let now = Self.now()
    changeable.withLock { state in
      if mask & FUSE_SET_ATTR_MODE != 0 { state.fileMode = new.st_mode & 0o7777 }
      if mask & FUSE_SET_ATTR_UID != 0 { state.uid = new.st_uid }
      if mask & FUSE_SET_ATTR_GID != 0 { state.gid = new.st_gid }
      if mask & FUSE_SET_ATTR_ATIME_NOW != 0 {
        state.accessed = now
      } else if mask & FUSE_SET_ATTR_ATIME != 0 {
        state.accessed = new.st_atim
      }
      if mask & FUSE_SET_ATTR_MTIME_NOW != 0 {
        state.modified = now
      } else if mask & FUSE_SET_ATTR_MTIME != 0 {
        state.modified = new.st_mtim
      }
      state.changed = now
    }
  }

  /// The file was written to.
  func touch() {
    let now = Self.now()
    changeable.withLock { state in
      state.modified = now
      state.changed = now
    }
  }

  private static func now() -> timespec {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return time
  }
}
