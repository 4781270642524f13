import CFuse3
import Glibc

/// What libfuse is asked: the directory and the file's attributes. Reads and writes do not come this way.
enum MemoryFile {
  static let inode: fuse_ino_t = 2
  nonisolated(unsafe) private static var size = 0
  nonisolated(unsafe) private static var arguments = fuse_args()

  /// Largest request in bytes, as nbdmount asks for it.
  static let maxWrite: UInt32 = 1 << 20

  /// Mounts the file's directory at `path`. Called once, before anything is served.
  static func mount(at path: String, size: Int) -> OpaquePointer {
    self.size = size
    for argument in ["memory-fuse", "-o", "fsname=memory-fuse"] { fuse_opt_add_arg(&arguments, argument) }
    var table = fuse_lowlevel_ops()
    table.`init` = { _, connection in
      guard let connection else { return }
      connection.pointee.max_write = MemoryFile.maxWrite
      connection.pointee.max_background = 256
    }
    table.lookup = { request, _, name in
      guard let request, let name else { return }
      guard strcmp(name, "nbd") == 0 else {
        fuse_reply_err(request, ENOENT)
        return
      }
      var entry = fuse_entry_param()
      entry.ino = MemoryFile.inode
      entry.attr = MemoryFile.attributes(of: MemoryFile.inode)
      entry.attr_timeout = 3600
      entry.entry_timeout = 3600
      fuse_reply_entry(request, &entry)
    }
    table.getattr = { request, inode, _ in
      guard let request else { return }
      var answer = MemoryFile.attributes(of: inode)
      fuse_reply_attr(request, &answer, 3600)
    }
    table.setattr = { request, inode, _, _, _ in
      guard let request else { return }
      var answer = MemoryFile.attributes(of: inode)
      fuse_reply_attr(request, &answer, 3600)
    }
    table.open = { request, _, information in
      guard let request, let information else { return }
      fuse_reply_open(request, information)
    }
    table.flush = { request, _, _ in
      if let request { fuse_reply_err(request, 0) }
    }
    table.fsync = { request, _, _, _ in
      if let request { fuse_reply_err(request, 0) }
    }
    table.release = { request, _, _ in
      if let request { fuse_reply_err(request, 0) }
    }
    guard let session = cfuse_session_new(&arguments, &table, nil) else { MemoryFuseCommand.fail("libfuse does not start") }
    guard fuse_session_mount(session, path) == 0 else { MemoryFuseCommand.fail("cannot mount at \(path)") }
    return session
  }

  private static func attributes(of inode: fuse_ino_t) -> stat {
    var answer = stat()
    answer.st_ino = UInt(inode)
    answer.st_uid = getuid()
    answer.st_gid = getgid()
    answer.st_mode = inode == Self.inode ? S_IFREG | 0o600 : S_IFDIR | 0o755
    answer.st_nlink = inode == Self.inode ? 1 : 2
    answer.st_size = inode == Self.inode ? size : 0
    answer.st_blksize = 4096
    answer.st_blocks = size / 512
    return answer
  }
}
