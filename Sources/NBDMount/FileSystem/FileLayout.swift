import Glibc
import NBDProtocol
import Synchronization

/// What the mount looks like: one file, in a directory or by itself, with modes, owners and times.
///
/// Everything here is answered without asking the server. The numbers are fixed at mount time, but for the times and the
/// mode, which the owner may change.
final class FileLayout: Sendable {
  /// The kernel's number for a file or a directory.
  typealias Inode = UInt64

  /// The kernel's number for the root of the mount: `FUSE_ROOT_ID`.
  static let root: Inode = 1

  /// Name of the file in the mounted directory; nil where a file is mounted over, so that the root is the file.
  let filename: String?
  /// The kernel's number for the file.
  let file: Inode
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
  func attributes(of inode: Inode, allocated: UInt64) -> stat? {
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

  /// What the owner may change. The size never.
  struct Change {
    enum Time {
      case now
      case at(timespec)
    }
    var mode: mode_t?
    var uid: uid_t?
    var gid: gid_t?
    var accessed: Time?
    var modified: Time?
  }

  func change(_ new: Change) {
    let now = Self.now()
    func time(_ time: Change.Time) -> timespec {
      switch time {
      case .now: now
      case .at(let time): time
      }
    }
    changeable.withLock { state in
      if let mode = new.mode { state.fileMode = mode & 0o7777 }
      if let uid = new.uid { state.uid = uid }
      if let gid = new.gid { state.gid = gid }
      if let accessed = new.accessed { state.accessed = time(accessed) }
      if let modified = new.modified { state.modified = time(modified) }
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
