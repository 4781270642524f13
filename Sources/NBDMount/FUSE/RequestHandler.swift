import CFuse3
import Glibc
import NBDProtocol
import Synchronization

/// What libfuse's callbacks find behind their session: the file, and who carries its requests out.
final class RequestHandler: Sendable {
  let file: ExportFile
  let engine: Engine
  let options: Options
  let prefetcher: Prefetcher
  /// ``configure(_:)`` has said what there is to say: it is called for each session.
  let isConfigured = Atomic(false)

  /// The handle of an open file that may write to the export; of others it is 0.
  static let writerHandle: UInt64 = 1

  /// How the kernel is told to treat the mount.
  struct Options: Sendable {
    /// Seconds for which the kernel may keep names and attributes.
    var entryTimeout: Double
    var attributeTimeout: Double
    /// Requests that the kernel may have waiting in the background (read-ahead, writeback).
    var maxBackground: UInt32
    /// Largest read and write in bytes; 0 is no limit of ours.
    var maxRead: UInt32
    var maxWrite: UInt32
    /// Keep what is cached when the file is opened again (`-o kernel_cache`).
    var keepsCache: Bool
    /// Most bytes that are prefetched, where the kernel's read-ahead cannot be raised.
    var prefetch: Int
  }

  /// Who waits for the server: chosen once, at the start.
  enum Engine: Sendable {
    case threads(ThreadsEngine)
    case reactor(ReactorEngine)
  }

  init(_ file: ExportFile, _ engine: Engine, _ options: Options) {
    self.file = file
    self.engine = engine
    self.options = options
    prefetcher = Prefetcher(size: file.layout.size, largestWindow: file.cache == .none ? 0 : options.prefetch)
  }

  /// The one that a request is for.
  static func of(_ request: fuse_req_t) -> RequestHandler {
    // SAFETY: the session holds the handler for as long as it delivers requests (FuseSession).
    Unmanaged<RequestHandler>.fromOpaque(fuse_req_userdata(request)).takeUnretainedValue()
  }

  /// Hands a request that needs the server to the engine.
  @inline(__always)
  func carryOut(_ step: FileRequest.Step, _ request: fuse_req_t) {
    switch engine {
    case .threads(let engine): engine.carryOut(step, FuseReply(request))
    case .reactor: FuseSource.begin(step, request)
    }
  }

  /// read(2) by `process` through a file that is open with `flags`.
  @inline(__always)
  func read(_ offset: UInt64, _ count: Int, flags: Int32, process: pid_t) -> FileRequest.Step {
    prefetcher.saw(offset, count, flags: flags, process: process)
    return file.read(offset, count)
  }

  /// The attributes of `inode` now.
  func attributes(of inode: fuse_ino_t) -> stat? {
    if inode == file.layout.file { file.overrun.looked() }
    return file.layout.attributes(of: inode, allocated: file.allocation.allocated)
  }
}
