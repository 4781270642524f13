import CLinux
import Glibc
import SystemPackage

/// A user as a process is one: its number, its group, and the groups that it is in besides (*credentials(7)*).
///
/// To the kernel each thread has numbers of its own; glibc changes those of all threads together, and of those that are being made.
package struct ProcessIdentity: Hashable, Sendable {
  package let name: String
  package let user: uid_t
  package let group: gid_t
  package let groups: [gid_t]

  /// Most groups that a process can be in: `NGROUPS_MAX` of Linux.
  private static let mostGroups = 65536

  package init(name: String, user: uid_t, group: gid_t, groups: [gid_t]) {
    self.name = name
    self.user = user
    self.group = group
    self.groups = groups
  }

  /// The user that the system knows by this name, or by this number. Not thread safe: before there is a second thread.
  ///
  /// - Throws: ``NBDError/invalidArgument(_:)`` where there is none.
  package init(named given: String) throws(NBDError) {
    guard let entry = getpwnam(given) ?? uid_t(given).flatMap({ getpwuid($0) }) else {
      throw .invalidArgument("there is no user \(printable(given))")
    }
    let name = String(cString: entry.pointee.pw_name)
    let user = entry.pointee.pw_uid
    let group = entry.pointee.pw_gid
    var groups = [gid_t](repeating: 0, count: 64)
    var count = Int32(groups.count)
    while getgrouplist(name, group, &groups, &count) < 0 {
      let needed = max(Int(count), 2 * groups.count)
      guard needed <= 2 * Self.mostGroups else { throw .invalidArgument("\(printable(name)) is in too many groups") }
      groups = [gid_t](repeating: 0, count: needed)
      count = Int32(needed)
    }
    self.init(name: name, user: user, group: group, groups: Array(groups.prefix(Int(count))))
  }

  /// What this process is now.
  private static func present() throws(NBDError) -> ProcessIdentity {
    var groups = [gid_t](repeating: 0, count: mostGroups)
    let count = getgroups(Int32(groups.count), &groups)
    guard count >= 0 else { throw .system(Errno(rawValue: errno), doing: "reading the groups of this process") }
    return ProcessIdentity(name: "root", user: geteuid(), group: getegid(), groups: Array(groups.prefix(Int(count))))
  }

  /// Becomes this user for good: there is no saved number to go back to. Takes CAP_SETUID and CAP_SETGID.
  package func become() throws(NBDError) { try take(saving: (user, group)) }

  /// Does `body` as this user, and becomes again what the process was, whose number is saved meanwhile. A program that is started
  /// in it is this user for good: to execute one replaces the saved number.
  ///
  /// For all threads, so that no other may be doing anything that depends on who we are.
  ///
  /// - Throws: what `body` throws; ``NBDError/system(_:doing:)``.
  package func assumed<Result: ~Copyable>(_ body: () throws(NBDError) -> Result) throws(NBDError) -> Result {
    let before = try Self.present()
    do {
      try take(saving: (before.user, before.group))
    } catch {
      // What went wrong first says more.
      try? before.takeBack()
      throw error
    }
    let result: Result
    do {
      result = try body()
    } catch {
      try before.takeBack()
      throw error
    }
    try before.takeBack()
    return result
  }

  /// The user last, with whom the right to the other two goes.
  private func take(saving saved: (user: uid_t, group: gid_t)) throws(NBDError) {
    try check(setgroups(groups.count, groups))
    try check(setresgid(group, group, saved.group))
    try check(setresuid(user, user, saved.user))
  }

  /// The user first, who has the right to the other two.
  private func takeBack() throws(NBDError) {
    try check(setresuid(user, user, user))
    try check(setresgid(group, group, group))
    try check(setgroups(groups.count, groups))
  }

  private func check(_ result: Int32) throws(NBDError) {
    if result != 0 { throw .system(Errno(rawValue: errno), doing: "becoming \(printable(name))") }
  }
}
