import CLinux
import Glibc
import NBDProtocol
import SystemPackage

/// `--drop-privileges`: root mounts, and a user who has no other rights serves the mount.
///
/// What root alone can do is done before: the connection is made, the files of TLS are read, the mount is made and tuned. What is
/// left of it, to unmount above all, is for ``PrivilegedMonitor``. A server that is started for the mount is the user's from the
/// beginning.
///
/// Whose the mount is does not change: it is root's, who has made it. So the user's other processes may use it no more than anybody
/// else's, nor look into this one; all that they can do is to end it.
struct PrivilegeDrop: Sendable {
  let identity: ProcessIdentity

  /// Looks the user up, and tries what can be tried. From here on, nothing that the process starts gains rights by executing it.
  /// To be called before any thread is made, since threads inherit that.
  ///
  /// - Throws: ``NBDError/invalidArgument(_:)`` where the process is not root, or the user is, or does not exist;
  ///   ``NBDError/system(_:doing:)`` where the kernel does not let root become the user, as in some containers.
  init(to user: String) throws(NBDError) {
    guard getuid() == 0, geteuid() == 0 else {
      throw .invalidArgument("--drop-privileges is for root: nobody else has privileges to drop")
    }
    identity = try ProcessIdentity(named: user)
    guard identity.user != 0 else {
      throw .invalidArgument("--drop-privileges \(printable(user)): that is root, who keeps them")
    }
    guard clinux_set_no_new_privileges() == 0, clinux_clear_inheritable_capabilities() == 0 else {
      throw .system(Errno(rawValue: errno), doing: "giving up new privileges")
    }
    try identity.assumed { () throws(NBDError) in }
  }

  /// A sentence for a user who should know that a server's socket is not open to ``identity``; nil where it is, or is none.
  func warning(about address: ServerAddress) throws(NBDError) -> String? {
    guard case .unix(let path) = address, let first = path.first, first != 0 else { return nil }
    let isClosed = try identity.assumed { () throws(NBDError) -> Bool in
      // Of the real user, and so of this one.
      let text = path.map { CChar(bitPattern: $0) } + [0]
      return access(text, R_OK | W_OK) != 0 && errno == EACCES
    }
    guard isClosed else { return nil }
    return "\(identity.name) may not open \(address): a connection that is lost cannot be made again"
  }

  /// Becomes the user for good, all threads, and sees that it is so. Leaves no core dump from here on, and no other process of the
  /// user's may look into this one (`PR_SET_DUMPABLE`).
  func carryOut() throws(NBDError) {
    try identity.become()
    // Again, because the kernel sets it anew whenever a process becomes somebody else.
    guard clinux_set_not_dumpable() == 0 else { throw .system(Errno(rawValue: errno), doing: "switching core dumps off") }
    for thread in try Self.threads() {
      let text: [UInt8]
      do throws(NBDError) { text = try readWholeFile("/proc/self/task/\(thread)/status") } catch {
        // It may have ended meanwhile.
        switch error {
        case .system(.noSuchFileOrDirectory, _), .system(.noSuchProcess, _): continue
        default: throw error
        }
      }
      if let problem = ThreadCredentials(String(decoding: text, as: UTF8.self)).problem(as: identity) {
        throw .invalidArgument("could not become \(identity.name) for good: \(problem)")
      }
    }
    guard setresuid(0, 0, 0) != 0, setuid(0) != 0 else {
      throw .invalidArgument("could not become \(identity.name) for good: there is a way back")
    }
  }

  /// The numbers of all threads, of which the first is that of the process.
  private static func threads() throws(NBDError) -> [pid_t] {
    guard let directory = opendir("/proc/self/task") else {
      throw .system(Errno(rawValue: errno), doing: "reading /proc/self/task")
    }
    defer { closedir(directory) }
    var result: [pid_t] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if let number = pid_t(name) { result.append(number) }
    }
    guard result.contains(getpid()) else { throw .invalidArgument("/proc does not show the threads of this process") }
    return result
  }
}

/// What *proc(5)* says in `status` about who a thread is and what it may do.
struct ThreadCredentials {
  private var fields: [Substring: [Substring]] = [:]

  init(_ text: String) {
    for line in text.split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      fields[line[..<colon]] = line[line.index(after: colon)...].split { $0 == " " || $0 == "\t" }
    }
  }

  /// What is left of another identity or of any privilege; nil where the thread is `identity` and nothing else.
  func problem(as identity: ProcessIdentity) -> String? {
    // The real, effective, saved and filesystem's one.
    for (field, number) in [("Uid", identity.user), ("Gid", identity.group)] {
      if numbers(field) != [number, number, number, number] { return said(field) }
    }
    guard let groups = numbers("Groups"), Set(groups) == Set(identity.groups) else { return said("Groups") }
    for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
      guard let value = fields[field[...]]?.first, value.allSatisfy({ $0 == "0" }) else { return said(field) }
    }
    return fields["NoNewPrivs"] == ["1"] ? nil : said("NoNewPrivs")
  }

  private func numbers(_ field: String) -> [UInt32]? {
    guard let words = fields[field[...]] else { return nil }
    let numbers = words.compactMap { UInt32($0) }
    return numbers.count == words.count ? numbers : nil
  }

  private func said(_ field: String) -> String { "\(field): \(fields[field[...]]?.joined(separator: " ") ?? "not told")" }
}
