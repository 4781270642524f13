import Glibc
import NBDProtocol
import SystemPackage

/// MOUNTPOINT[/FILENAME] after a look at what is there.
struct Mountpoint: Hashable, Sendable {
  enum Shape: Hashable, Sendable {
    /// The directory is mounted over, and holds one file of this name.
    case directory(path: String, filename: String)
    /// A regular file is mounted over.
    case file(path: String)
  }

  static let defaultFilename = "nbd"

  /// Paths in it are absolute and free of symbolic links.
  var shape: Shape
  /// The dead mount that was removed to get here, for a note to the user.
  var removedStaleMount: String?

  /// What is mounted over, and what gets unmounted.
  var path: String {
    switch shape {
    case .directory(let path, _), .file(let path): path
    }
  }

  /// The export's file, once mounted.
  var exportPath: String {
    switch shape {
    case .directory(let path, let filename): path == "/" ? "/\(filename)" : "\(path)/\(filename)"
    case .file(let path): path
    }
  }

  /// Classifies the argument; a dead FUSE mount found there is unmounted first. Never call it with one's own
  /// mount in place: it would wait for itself.
  ///
  /// - Parameter staleDeadline: how long unmounting a dead mount may take.
  /// - Throws: ``NBDError/invalidArgument(_:)`` where nothing can be mounted there.
  init(_ argument: String, staleDeadline: Duration = .seconds(10)) throws(NBDError) {
    do {
      try self.init(existing: argument)
    } catch .system(.socketNotConnected, _) {
      // Every access to a FUSE mount whose daemon died says ENOTCONN.
      let stale = try Self.staleMount(around: argument)
      try Unmounter.removeStaleMount(stale, deadline: staleDeadline)
      do {
        try self.init(existing: argument)
      } catch .system(.socketNotConnected, _) {
        // The mounts may be stacked; one is taken away for each start of nbdmount, not silently all.
        throw .invalidArgument("\(argument): there is another dead mount under the one just unmounted")
      }
      removedStaleMount = stale
    }
  }

  private init(existing argument: String) throws(NBDError) {
    if let kind = try Self.kind(of: argument) {
      let path = try Self.realPath(argument)
      switch kind {
      case S_IFDIR: shape = .directory(path: path, filename: Self.defaultFilename)
      case S_IFREG: shape = .file(path: path)
      default: throw .invalidArgument("mountpoint \(argument) is neither a directory nor a regular file")
      }
      return
    }
    let (parent, name) = Self.split(argument)
    guard !name.isEmpty, name != ".", name != "..", try Self.kind(of: parent) == S_IFDIR else {
      throw .invalidArgument("mountpoint \(argument) must be a directory, a regular file, or DIRECTORY/FILENAME")
    }
    // NAME_MAX of Linux; the kernel refuses longer ones on lookup.
    guard name.utf8.count <= 255 else { throw .invalidArgument("the file name in \(argument) is too long") }
    shape = .directory(path: try Self.realPath(parent), filename: name)
  }

  /// The dead mount that makes `argument` unreachable: the argument itself or the directory that it is in.
  private static func staleMount(around argument: String) throws(NBDError) -> String {
    let table = try MountTable.current()
    for candidate in [argument, split(argument).parent] {
      // realpath reads links only, which the kernel answers for a dead mount's root without its daemon.
      guard let path = try? realPath(candidate), let entry = table.mount(at: path), entry.isFuse else { continue }
      return path
    }
    throw .invalidArgument("\(argument) lies inside a FUSE mount whose daemon is dead")
  }

  /// The file type bits, or nil where there is no such file.
  private static func kind(of path: String) throws(NBDError) -> mode_t? {
    var status = stat()
    if stat(path, &status) == 0 { return status.st_mode & S_IFMT }
    if errno == ENOENT { return nil }
    throw .system(Errno(rawValue: errno), doing: "mountpoint \(path)")
  }

  private static func realPath(_ path: String) throws(NBDError) -> String {
    guard let resolved = realpath(path, nil) else {
      throw .system(Errno(rawValue: errno), doing: "mountpoint \(path)")
    }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// Directory and last component. The name is empty where the argument ends with a slash.
  private static func split(_ argument: String) -> (parent: String, name: String) {
    guard let slash = argument.lastIndex(of: "/") else { return (".", argument) }
    let parent = argument[..<slash]
    return (parent.isEmpty ? "/" : String(parent), String(argument[argument.index(after: slash)...]))
  }
}
