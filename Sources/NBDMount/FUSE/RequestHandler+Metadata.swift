import CFuse3
import Glibc
import NBDProtocol

/// The requests that are answered without the server.
extension RequestHandler {
  /// The agreement with the kernel (`FUSE_INIT`), once for the mount and again for each clone of its device.
  func configure(_ connection: UnsafeMutablePointer<fuse_conn_info>) {
    if file.cache == .writeback, !file.layout.isReadOnly,
      !cfuse_want(connection, cfuse_cap_writeback_cache, true), !isConfigured.exchange(true, ordering: .relaxed)
    {
      Diagnostics.warning("the kernel has no writeback cache for FUSE: every write goes to the server at once")
    }
    if file.cache == .none { _ = cfuse_want(connection, cfuse_cap_direct_io_allow_mmap, true) }
    // The size never changes, so that opening with O_TRUNC must not set it to zero in the kernel.
    _ = cfuse_want(connection, cfuse_cap_atomic_o_trunc, false)
    // What others write elsewhere is seen at the next open (see ``open(_:_:_:)``): our attributes cannot tell the kernel.
    _ = cfuse_want(connection, cfuse_cap_auto_inval_data, false)
    _ = cfuse_want(connection, cfuse_cap_splice_read, false)
    // libfuse 3.18 would take the requests on threads of its own, where no reactor is. -o io_uring is not the only way
    // to ask it for that: FUSE_URING_ENABLE in the environment is another.
    if case .reactor = engine { _ = cfuse_want(connection, cfuse_cap_over_io_uring, false) }
    connection.pointee.max_background = options.maxBackground
    connection.pointee.congestion_threshold = options.maxBackground * 3 / 4
    connection.pointee.max_write = min(connection.pointee.max_write, options.maxWrite)
    // libfuse refuses to go on where this is not what the mount option says.
    connection.pointee.max_read = options.maxRead
    connection.pointee.time_gran = 1
  }

  func lookup(_ reply: consuming FuseReply, _ parent: fuse_ino_t, _ name: UnsafePointer<CChar>?) {
    guard parent == FileLayout.root, let filename = file.layout.filename, let name, strcmp(name, filename) == 0,
      let attributes = attributes(of: file.layout.file)
    else { return reply.error(ENOENT) }
    var entry = fuse_entry_param()
    entry.ino = file.layout.file
    entry.generation = 1
    entry.attr = attributes
    entry.attr_timeout = options.attributeTimeout
    entry.entry_timeout = options.entryTimeout
    reply.entry(entry)
  }

  /// chmod, chown, touch and truncate. The size of an export cannot change.
  func setAttributes(
    _ reply: consuming FuseReply, _ inode: fuse_ino_t, _ new: stat, _ mask: Int32, hasFile: Bool
  ) {
    if mask & FUSE_SET_ATTR_SIZE != 0, UInt64(clamping: new.st_size) != file.layout.size {
      // open(O_TRUNC) looks like this: size 0, and no open file yet. A disk takes no notice of it either; without it,
      // `cp image mount/nbd` would not work. truncate(2) to 0 by name looks the same, and so has no effect, either.
      guard new.st_size == 0, !hasFile else {
        Diagnostics.warning(
          "refused to change the size from \(file.layout.size) to \(new.st_size) bytes: an NBD export has a fixed size")
        return reply.error(EINVAL)
      }
    }
    if inode == file.layout.file { file.layout.change(FileLayout.Change(new, mask)) }
    guard let attributes = attributes(of: inode) else { return reply.error(ENOENT) }
    reply.attributes(attributes, seconds: options.attributeTimeout)
  }

  func readDirectory(_ reply: consuming FuseReply, _ inode: fuse_ino_t, _ size: Int, _ offset: off_t) {
    let request = reply.request
    guard inode == FileLayout.root, let filename = file.layout.filename else { return reply.error(ENOTDIR) }
    let entries = [(".", FileLayout.root), ("..", FileLayout.root), (filename, file.layout.file)]
    var buffer = [CChar](repeating: 0, count: size)
    var used = 0
    for (index, entry) in entries.enumerated().dropFirst(Int(clamping: offset)) {
      var attributes = stat()
      attributes.st_ino = ino_t(entry.1)
      attributes.st_mode = entry.1 == file.layout.file ? S_IFREG : S_IFDIR
      let needed = buffer.withUnsafeMutableBufferPointer { space in
        fuse_add_direntry(
          request, space.baseAddress.map { $0 + used }, size - used, entry.0, &attributes, off_t(index + 1))
      }
      guard used + needed <= size else { break }
      used += needed
    }
    reply.data(buffer, used)
  }

  func statistics(_ reply: consuming FuseReply) {
    var statistics = statvfs()
    statistics.f_bsize = 4096
    statistics.f_frsize = 4096
    statistics.f_blocks = fsblkcnt_t((file.layout.size + 4095) / 4096)
    statistics.f_files = 1
    statistics.f_namemax = 255
    if file.layout.isReadOnly { statistics.f_flag = UInt(ST_RDONLY) }
    reply.statistics(statistics)
  }

  /// open(2) of the file by `process`.
  ///
  /// What the kernel keeps of the file outlasts an open in two cases: the writeback cache, with which nobody else may write to the
  /// export anyway, and where the user asks for it. Otherwise an open finds what the export is then, whoever has written to it.
  func open(
    _ reply: consuming FuseReply, _ inode: fuse_ino_t, _ information: UnsafeMutablePointer<fuse_file_info>, process: pid_t
  ) {
    guard inode == file.layout.file else { return reply.error(EISDIR) }
    let flags = information.pointee.flags
    let error = file.open(flags: flags)
    guard error == 0 else { return reply.error(error) }
    if flags & O_ACCMODE != O_RDONLY { information.pointee.fh = Self.writerHandle }
    if file.cache == .none {
      information.pointee.direct_io = 1
      cfuse_allow_parallel_direct_writes(information)
    } else {
      // The prefetcher opens the file for the sake of what is in the cache.
      let keeps = file.cache == .writeback || options.keepsCache || prefetcher.isChild(process)
      information.pointee.keep_cache = keeps ? 1 : 0
    }
    // Where the opener is gone there will be no release.
    if !reply.opened(information) { file.close(flags: flags) }
  }
}

extension FileLayout.Change {
  /// What `FUSE_SETATTR` asks for, but for the size.
  fileprivate init(_ new: stat, _ mask: Int32) {
    func has(_ flag: Int32) -> Bool { mask & flag != 0 }
    if has(FUSE_SET_ATTR_MODE) { mode = new.st_mode }
    if has(FUSE_SET_ATTR_UID) { uid = new.st_uid }
    if has(FUSE_SET_ATTR_GID) { gid = new.st_gid }
    if has(FUSE_SET_ATTR_ATIME_NOW) { accessed = .now } else if has(FUSE_SET_ATTR_ATIME) { accessed = .at(new.st_atim) }
    if has(FUSE_SET_ATTR_MTIME_NOW) { modified = .now } else if has(FUSE_SET_ATTR_MTIME) { modified = .at(new.st_mtim) }
  }
}
