import Glibc
import NBDProtocol
import SystemPackage

/// The child that has the kernel read ahead: see ``Prefetcher``. It ends with its parent, whose end of the pipe closes.
struct PrefetchChild: ~Copyable {
  /// Bytes that the kernel reads for one piece of advice: its own read-ahead, and not more.
  private static let step = 128 << 10

  /// What goes through the pipe, in one write, which is too small to be taken apart.
  private struct Window: BitwiseCopyable {
    var offset = 0
    var length = 0
  }

  let pid: pid_t
  private let pipe: FileDescriptor

  /// Starts the child, for the file at `path`.
  init(path: String) throws(NBDError) {
    let ends = try closeOnExecPipe()
    defer { try? ends.readEnd.close() }
    do throws(NBDError) {
      pid = try Spawn(
        arguments: [Helper.prefetch.rawValue, path], executable: Helper.executable, streams: .input(from: ends.readEnd.rawValue)
      ).start()
    } catch {
      try? ends.writeEnd.close()
      throw error
    }
    pipe = ends.writeEnd
  }

  deinit {
    try? pipe.close()
    HelperProcess.leave(pid)
  }

  /// Has the child read `window`. Blocks while it is many windows behind.
  func fetch(_ window: Range<UInt64>) throws(NBDError) {
    let message = Window(offset: Int(window.lowerBound), length: window.count)
    do {
      _ = try withUnsafeBytes(of: message) { try pipe.writeAll($0) }
    } catch { throw NBDError(error, doing: "telling the prefetcher what to read") }
  }

  /// The child's work. The file is open for a moment only, so that it is not in the way of an unmount.
  static func serve(path: String) -> Never {
    chdir("/")
    while true {
      var window = Window()
      let count = withUnsafeMutableBytes(of: &window) { read(0, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count == MemoryLayout<Window>.size else { exit(0) }
      let file = open(path, O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { continue }
      for offset in stride(from: window.offset, to: window.offset + window.length, by: step) {
        posix_fadvise(file, offset, step, POSIX_FADV_WILLNEED)
      }
      close(file)
    }
  }
}
