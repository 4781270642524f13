import Glibc
import NBDProtocol
import SystemPackage

/// MOUNTPOINT[/FILENAME] after a look at what is there: an existing directory or regular file, or DIRECTORY/FILENAME, with a
/// slash, of which DIRECTORY exists.
///
/// The slash is what tells a file name from a misspelt directory: taken for a name in ".", the latter would have the export
/// cover the current directory.
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
    case .directory(let path, let filename): "\(path)/\(filename)"
    case .file(let path): path
    }
  }

  /// The part of ``exportPath`` behind ``path``.
  var fileBelow: String { if case .directory(_, let filename) = shape { "/\(filename)" } else { "" } }

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
    if let entry = try Self.fuseMount(around: argument) {
      try Self.askDaemon(of: entry.mountpoint)
      // A second mount would hide the first, which nobody means.
      guard entry.type != "fuse.nbdmount" else {
        throw .invalidArgument(
          "\(argument): \(entry.source) is mounted there already; unmount it first: fusermount3 -u \(entry.mountpoint)")
      }
    }
    if let kind = try Self.kind(of: argument) {
      let path = try Self.realPath(argument)
      switch kind {
      case S_IFDIR: shape = .directory(path: path, filename: Self.defaultFilename)
      case S_IFREG: shape = .file(path: path)
      default: throw .invalidArgument("mountpoint \(argument) is neither a directory nor a regular file")
      }
    } else {
      let (parent, name) = try Self.newFile(argument)
      shape = .directory(path: try Self.realPath(parent), filename: name)
    }
    if path == "/" {
      throw .invalidArgument("mountpoint \(argument) would cover the root directory: make a directory for the export")
    }
  }

  /// The two parts of DIRECTORY/FILENAME, where there is such a directory and no such file.
  private static func newFile(_ argument: String) throws(NBDError) -> (directory: String, name: String) {
    let (parent, name) = split(argument)
    guard let parent else {
      throw .invalidArgument(
        "no such directory: \(argument); make it first, or write ./\(argument) to show the export as the file "
          + "\(argument) in the current directory")
    }
    guard try kind(of: parent) == S_IFDIR else { throw .invalidArgument("no such directory: \(parent); make it first") }
    guard !name.isEmpty, name != ".", name != ".." else {
      throw .invalidArgument("mountpoint \(argument) must be a directory, a regular file, or DIRECTORY/FILENAME")
    }
    // NAME_MAX of Linux; the kernel refuses longer ones on lookup.
    guard name.utf8.count <= 255 else { throw .invalidArgument("the file name in \(argument) is too long") }
    return (parent, name)
  }

  /// - Throws: ENOTCONN where the mount is dead. stat(2) does not always say so: the kernel keeps attributes for a second.
  private static func askDaemon(of path: String) throws(NBDError) {
    var status = statvfs()
    if statvfs(path, &status) != 0, errno == ENOTCONN { throw .system(.socketNotConnected, doing: "mountpoint \(path)") }
  }

  /// The dead mount that makes `argument` unreachable: the argument itself or the directory that it is in.
  private static func staleMount(around argument: String) throws(NBDError) -> String {
    if let entry = try fuseMount(around: argument) { return entry.mountpoint }
    throw .invalidArgument("\(argument) lies inside a FUSE mount whose daemon is dead")
  }

  /// The FUSE mount at `argument` or at the directory that it is in. Asks no daemon, which may be dead or hang.
  private static func fuseMount(around argument: String) throws(NBDError) -> MountTable.Entry? {
    let table = try MountTable.current()
    for candidate in [argument, split(argument).parent].compactMap(\.self) {
      // realpath reads links only, which the kernel answers for a mount's root without its daemon.
      guard let path = try? realPath(candidate), let entry = table.mount(at: path), entry.isFuse else { continue }
      return entry
    }
    return nil
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

  /// Directory, nil where the argument has no slash, and last component, empty where it ends with one.
  private static func split(_ argument: String) -> (parent: String?, name: String) {
    // In bytes: to Swift's characters, a slash with an accent upon it is no slash.
    guard let slash = argument.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (nil, argument) }
    let parent = argument[..<slash]
    return (parent.isEmpty ? "/" : String(parent), String(argument[argument.utf8.index(after: slash)...]))
  }
}
