import CFuse3
import Glibc
import NBDProtocol

/// The table of functions that libfuse calls, one for each request of the kernel.
///
/// Each takes the request apart, and either answers it from the layout or turns it into a ``FileRequest``. Nothing
/// is decided here that is not about FUSE.
enum FuseOperations {
  static func table() -> fuse_lowlevel_ops {
    var table = fuse_lowlevel_ops()
    addMetadata(to: &table)
    addData(to: &table)
    refuseNames(in: &table)
    return table
  }

  /// The mount has one file, for good: what would make, rename or remove a name is not permitted, as libfuse's own ENOSYS
  /// would not say.
  private static func refuseNames(in table: inout fuse_lowlevel_ops) {
    table.mknod = { request, _, _, _, _ in FuseOperations.refuse(request) }
    table.mkdir = { request, _, _, _ in FuseOperations.refuse(request) }
    table.create = { request, _, _, _, _ in FuseOperations.refuse(request) }
    table.symlink = { request, _, _, _ in FuseOperations.refuse(request) }
    table.link = { request, _, _, _ in FuseOperations.refuse(request) }
    table.rename = { request, _, _, _, _, _ in FuseOperations.refuse(request) }
    table.unlink = { request, _, _ in FuseOperations.refuse(request) }
    table.rmdir = { request, _, _ in FuseOperations.refuse(request) }
  }

  private static func refuse(_ request: fuse_req_t?) {
    guard let request else { return }
    FuseReply(request).error(EPERM)
  }

  private static func addMetadata(to table: inout fuse_lowlevel_ops) {
    table.`init` = { userdata, connection in
      guard let userdata, let connection else { return }
      Unmanaged<RequestHandler>.fromOpaque(userdata).takeUnretainedValue().configure(connection)
    }
    table.lookup = { request, parent, name in
      guard let request else { return }
      RequestHandler.of(request).lookup(FuseReply(request), parent, name)
    }
    table.getattr = { request, inode, _ in
      guard let request else { return }
      let handler = RequestHandler.of(request)
      guard let attributes = handler.attributes(of: inode) else { return FuseReply(request).error(ENOENT) }
      FuseReply(request).attributes(attributes, seconds: handler.options.attributeTimeout)
    }
    table.setattr = { request, inode, attributes, mask, information in
      guard let request, let attributes else { return }
      RequestHandler.of(request).setAttributes(FuseReply(request), inode, attributes.pointee, mask, hasFile: information != nil)
    }
    table.access = { request, inode, mask in
      guard let request else { return }
      let layout = RequestHandler.of(request).file.layout
      // The kernel lets in the mounting user only, or checks the modes itself.
      FuseReply(request).error(mask & W_OK != 0 && layout.isReadOnly ? EROFS : 0)
    }
    table.readdir = { request, inode, size, offset, _ in
      guard let request else { return }
      RequestHandler.of(request).readDirectory(FuseReply(request), inode, size, offset)
    }
    table.statfs = { request, _ in
      guard let request else { return }
      RequestHandler.of(request).statistics(FuseReply(request))
    }
    table.open = { request, inode, information in
      guard let request, let information else { return }
      RequestHandler.of(request).open(FuseReply(request), inode, information, process: fuse_req_ctx(request).pointee.pid)
    }
    table.release = { request, _, information in
      guard let request else { return }
      if let information { RequestHandler.of(request).file.close(flags: information.pointee.flags) }
      FuseReply(request).error(0)
    }
  }

  private static func addData(to table: inout fuse_lowlevel_ops) {
    table.read = { request, _, size, offset, information in
      guard let request, let information else { return }
      let handler = RequestHandler.of(request)
      let step = handler.read(
        UInt64(clamping: offset), size, flags: information.pointee.flags, process: fuse_req_ctx(request).pointee.pid)
      handler.carryOut(step, request)
    }
    table.write = { request, _, buffer, size, offset, information in
      guard let request, let buffer, let information else { return }
      let handler = RequestHandler.of(request)
      let step = handler.file.write(
        UInt64(clamping: offset), UnsafeMutableRawPointer(mutating: buffer), size,
        isDirect: information.pointee.writepage == 0, flags: information.pointee.flags)
      handler.carryOut(step, request)
    }
    table.flush = { request, _, information in
      guard let request else { return }
      let handler = RequestHandler.of(request)
      // Who only reads has nothing to lose, and is not told of other writers' errors. The request has no flags.
      let isWriter = information.map { $0.pointee.fh == RequestHandler.writerHandle } ?? true
      handler.carryOut(isWriter ? handler.file.sync() : .reply(.success), request)
    }
    table.fsync = { request, _, _, _ in
      guard let request else { return }
      let handler = RequestHandler.of(request)
      handler.carryOut(handler.file.sync(), request)
    }
    table.fallocate = { request, _, mode, offset, length, _ in
      guard let request else { return }
      let handler = RequestHandler.of(request)
      handler.carryOut(handler.file.allocate(mode, UInt64(clamping: offset), UInt64(clamping: length)), request)
    }
    table.lseek = { request, _, offset, whence, _ in
      guard let request else { return }
      let handler = RequestHandler.of(request)
      switch whence {
      case cfuse_seek_data, cfuse_seek_hole:
        guard offset >= 0 else { return FuseReply(request).error(ENXIO) }
        handler.carryOut(handler.file.seek(UInt64(offset), forData: whence == cfuse_seek_data), request)
      default: FuseReply(request).error(EINVAL)
      }
    }
  }
}
