import Glibc
import NBDProtocol
import SystemPackage

/// `--pidfile`: its appearance says that the mount is ready.
struct PIDFile: Sendable {
  /// Absolute, because it is removed at the end, wherever the process is then.
  let path: String
  private let contents: String
  /// A pipe or a terminal: written to, but neither replaced nor removed.
  private let isSpecial: Bool

  /// Writes the process number and a newline. A regular file appears whole or not at all: a script that
  /// waits for it never reads half a number.
  init(path given: String, pid: pid_t = getpid()) throws(NBDError) {
    let doing = "writing the pid file \(given)"
    path = try absolutePath(given)
    contents = "\(pid)\n"
    var status = stat()
    isSpecial = stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
    let isPipe = isSpecial && status.st_mode & S_IFMT == S_IFIFO
    // Such as /dev/stdout, where that is a file: the link would be replaced, and it may be everybody's.
    if !isSpecial, lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
      throw .invalidArgument("\(doing): that is a link; name the file itself")
    }
    do {
      if isSpecial {
        try Self.write(contents, toSpecial: path, isPipe: isPipe)
      } else {
        try Self.replace(path, with: contents, temporary: "\(path).\(pid).new")
      }
    } catch {
      throw NBDError(error, doing: doing)
    }
  }

  /// A pipe that nobody reads yet, or that is full, gets it when somebody reads, and a stopped terminal when it goes on: nobody
  /// waits for that.
  private static func write(_ contents: String, toSpecial path: String, isPipe: Bool) throws {
    do {
      let file = try FileDescriptor.open(FilePath(path), .writeOnly, options: [.closeOnExec, .nonBlocking])
      try file.closeAfter { _ = try file.writeAll(contents.utf8) }
    } catch let error as Errno where error == .wouldBlock || (error == .noSuchAddressOrDevice && isPipe) {
      try POSIXThread.startDetached("the pid file") {
        do {
          let file = try FileDescriptor.open(FilePath(path), .writeOnly, options: .closeOnExec)
          try file.closeAfter { _ = try file.writeAll(contents.utf8) }
        } catch { Diagnostics.warning("writing the pid file \(path): \(error)") }
      }
    }
  }

  /// Removes the file, unless another process has put its own number there since.
  func remove() {
    guard !isSpecial, let now = try? readWholeFile(path), now == Array(contents.utf8) else { return }
    unlink(path)
  }

  private static func replace(_ path: String, with contents: String, temporary: String) throws {
    // A leftover of a crashed process with our number. O_EXCL below keeps a planted link from being followed.
    unlink(temporary)
    let file = try FileDescriptor.open(
      FilePath(temporary), .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
      permissions: [.ownerReadWrite, .groupRead, .otherRead])
    do {
      try file.closeAfter { _ = try file.writeAll(contents.utf8) }
      guard rename(temporary, path) == 0 else { throw Errno(rawValue: errno) }
    } catch {
      unlink(temporary)
      throw error
    }
  }
}

/// `path` made absolute by the current directory; nothing in it is resolved.
func absolutePath(_ path: String) throws(NBDError) -> String {
  if path.hasPrefix("/") { return path }
  guard let directory = getcwd(nil, 0) else {
    throw .system(Errno(rawValue: errno), doing: "finding the current directory")
  }
  defer { free(directory) }
  return String(cString: directory) + "/" + path
}
