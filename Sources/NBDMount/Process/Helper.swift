import Glibc
import NBDProtocol
import SystemPackage

/// What nbdmount has a child do, because a daemon that touches its own mount waits for a request that it has to answer
/// itself.
///
/// The child is this program under another name, its `argv[0]`: so it is there whatever `PATH` says and whatever is installed.
/// Its exit status says how it went, and its output why.
enum Helper: String {
  /// PATH ID: fsync(2) of a file, which lies on the mount ID.
  case sync = "nbdmount-sync"
  /// PATH ID HOW: umount2(2) of the mount ID.
  case unmount = "nbdmount-unmount"
  /// PATH ID SIZE: truncate(2) of a file, which lies on the mount ID.
  case truncate = "nbdmount-truncate"
  /// PATH: see ``PrefetchChild``.
  case prefetch = "nbdmount-prefetch"
  /// See ``MonitorProcess``.
  case monitor = "nbdmount-monitor"

  /// How to unmount.
  enum Unmounting: String {
    /// Once all is written back, and unless somebody uses it.
    case orderly
    /// At once, out of sight: whoever uses it goes on until they close their files.
    case lazily
    /// The same, if the daemon is dead, and not otherwise.
    case ifDead = "if-dead"
  }

  /// Exit statuses beside 0.
  static let failure: Int32 = 1
  /// The mount cannot be reached, so that nothing was tried.
  static let unreachable: Int32 = 2

  static let executable = "/proc/self/exe"

  /// Runs it, with these words after its name, for as long as there is time left.
  func run(_ words: String..., remaining: () -> Duration) throws(NBDError) -> HelperProcess.Result {
    try HelperProcess.run([rawValue] + words, executable: Self.executable, remaining: remaining)
  }

  /// In a process that was started as a helper, carries out what it is for, and ends. To be called first of all.
  static func carryOut(_ arguments: [String]) {
    guard let helper = arguments.first.flatMap(Helper.init(rawValue:)) else { return }
    let words = arguments.dropFirst()
    guard let path = words.first else { exit(failure) }
    let second = words.dropFirst().first ?? ""
    switch helper {
    case .sync: exit(sync(path, UInt64(second)))
    case .unmount: exit(unmount(path, UInt64(second), words.last.flatMap(Unmounting.init(rawValue:)) ?? .orderly))
    case .truncate: exit(truncate(path, UInt64(second), words.last.flatMap { Int($0) } ?? -1))
    case .prefetch: PrefetchChild.serve(path: path)
    case .monitor: MonitorProcess.serve(Array(words))
    }
  }

  /// Unmounts the mount of this number at `path`, and never another one, whatever is done to the path meanwhile. Here and now: for
  /// a child, or of a mount that is dead, or it might wait for us.
  ///
  /// In the directory above it, which is held on to, nobody can exchange what the name means, since a mountpoint is neither renamed
  /// nor removed; in the directories above that one, whoever owns one of them can.
  ///
  /// - Returns: 0, an errno, or nil where something else is mounted there.
  static func unmountHere(_ path: String, _ mount: UInt64?, _ flags: Int32) -> Int32? {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return nil }
    let name = path.utf8.index(after: slash)
    let directory = open(String(path[..<name]), __O_PATH | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { return nil }
    defer { close(directory) }
    let place = "/proc/self/fd/\(directory)/\(path[name...])"
    guard isRoot(place, of: mount) else { return nil }
    return umount2(place, flags | Int32(UMOUNT_NOFOLLOW)) == 0 ? 0 : errno
  }

  // MARK: In the child

  /// fsync of the file, not syncfs of the filesystem: for a plain FUSE mount the kernel's syncfs only writes dirty pages; it
  /// sends no FSYNC, so the server would never be told to FLUSH.
  private static func sync(_ path: String, _ mount: UInt64?) -> Int32 {
    guard let place = openOnMount(path, mount) else { return unreachable }
    var file = open(place, O_RDONLY | O_CLOEXEC)
    if file < 0, errno == EACCES { file = open(place, O_WRONLY | O_CLOEXEC) }
    guard file >= 0 else { return failed("open", status: unreachable) }
    return fsync(file) == 0 ? 0 : failed("fsync")
  }

  private static func truncate(_ path: String, _ mount: UInt64?, _ size: Int) -> Int32 {
    guard let place = openOnMount(path, mount) else { return unreachable }
    return Glibc.truncate(place, size) == 0 ? 0 : failed("truncate")
  }

  /// Another path of the file at `path`, which stays the same file; nil, having said why, where it does not lie on `mount`.
  private static func openOnMount(_ path: String, _ mount: UInt64?) -> String? {
    let file = open(path, __O_PATH | O_CLOEXEC)
    guard file >= 0 else {
      _ = failed("open")
      return nil
    }
    guard mountID(of: file) == mount else {
      _ = hidden(path)
      return nil
    }
    return "/proc/self/fd/\(file)"
  }

  private static func unmount(_ path: String, _ mount: UInt64?, _ how: Unmounting) -> Int32 {
    guard how != .ifDead || isRoot(path, of: mount) && isDead(path),
      let error = unmountHere(path, mount, how == .orderly ? 0 : Int32(MNT_DETACH))
    else { return hidden(path) }
    if error == 0 { return 0 }
    errno = error
    guard error == EPERM else { return failed("umount2") }
    // What an ordinary user may do about a mount of his own, the setuid program does.
    fusermount(how == .orderly ? ["-u"] : ["-u", "-z"], path)
    return failed("fusermount3")
  }

  /// Whether `path` leads to the mount of this number, and not to another one that covers it.
  private static func isRoot(_ path: String, of mount: UInt64?) -> Bool {
    guard let root = openRoot(path, of: mount) else { return false }
    close(root)
    return true
  }

  /// The root of the mount of this number, where `path` leads to it: what the caller has open it keeps there, also unmounted.
  static func openRoot(_ path: String, of mount: UInt64?) -> Int32? {
    // O_PATH: the kernel finds the mount without asking its daemon, which may be dead or hang.
    let root = open(path, __O_PATH | O_NOFOLLOW | O_CLOEXEC)
    guard root >= 0 else { return nil }
    if mountID(of: root) == mount { return root }
    close(root)
    return nil
  }

  /// Replaces this process, unless there is no fusermount3.
  private static func fusermount(_ options: [String], _ path: String) {
    // PATH first, then where it is installed, because PATH may be anything.
    for program in ["fusermount3", "/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"] {
      let words = [program] + options + ["--", path]
      var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
      pointers.append(nil)
      execvp(program, &pointers)
      guard errno == ENOENT || errno == EACCES else { return }
    }
  }

  /// The daemon of a dead mount does not even answer whether the file may be opened.
  private static func isDead(_ path: String) -> Bool {
    let file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard file < 0 else {
      close(file)
      return false
    }
    return errno == ENOTCONN || errno == ECONNABORTED
  }

  /// The number in /proc/self/mountinfo of the mount that an open file lies on. Asks no daemon.
  private static func mountID(of file: Int32) -> UInt64? {
    guard let text = try? readWholeFile("/proc/self/fdinfo/\(file)") else { return nil }
    let line = text.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: "mnt_id:".utf8) }
    return line.flatMap { UInt64(String(decoding: $0.filter { (0x30...0x39).contains($0) }, as: UTF8.self)) }
  }

  private static func hidden(_ path: String) -> Int32 {
    say("something else is mounted at \(path)")
    return unreachable
  }

  /// Says what went wrong, by errno, and gives `status`.
  private static func failed(_ call: String, status: Int32 = failure) -> Int32 {
    say("\(call): \(Errno(rawValue: errno))")
    return status
  }

  private static func say(_ text: String) {
    _ = try? FileDescriptor.standardOutput.writeAll("\(text)\n".utf8)
  }
}
