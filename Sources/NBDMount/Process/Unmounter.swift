import Glibc
import NBDProtocol
import SystemPackage

/// Ends a mount from inside its own daemon.
///
/// A daemon that touches its own mount waits for a request that it has to answer itself. So children do it,
/// while the daemon goes on serving, and each has a deadline. Call it on a thread that serves no requests.
struct Unmounter: Sendable {
  /// What became of the data that the kernel still held.
  enum Sync: Hashable, Sendable {
    case done
    /// fsync said so: data is lost, and the exit status must not be 0.
    case failed(String)
    case timedOut
  }

  enum End: Hashable, Sendable {
    case unmounted
    /// Busy, so only detached: the session goes on until the last file is closed.
    case detached(reason: String)
    /// Somebody else had unmounted it.
    case alreadyGone
    case failed(String)
  }

  struct Report: Hashable, Sendable {
    var sync: Sync
    var end: End
  }

  /// As ``Mountpoint`` gives them.
  let mountpoint: String
  let exportPath: String
  /// The mount's identity, so that another one made at the same place later is left alone.
  private let entry: MountTable.Entry

  /// - Throws: ``NBDError/invalidArgument(_:)`` where nothing is mounted there.
  init(_ mountpoint: Mountpoint, in table: MountTable) throws(NBDError) {
    guard let entry = table.mount(at: mountpoint.path) else {
      throw .invalidArgument("\(mountpoint.path) is not mounted")
    }
    self.entry = entry
    self.mountpoint = mountpoint.path
    exportPath = mountpoint.exportPath
  }

  /// Writes back what the kernel holds, then unmounts.
  ///
  /// - Parameters:
  ///   - syncDeadline: for writing back; with a hanging server it is spent in full.
  ///   - deadline: for each attempt to unmount.
  func unmount(syncDeadline: Duration, deadline: Duration) -> Report {
    guard isMounted else { return Report(sync: .done, end: .alreadyGone) }
    let sync = sync(deadline: syncDeadline)
    return Report(sync: sync, end: detach(deadline: deadline, lazily: sync == .timedOut))
  }

  /// fsync of the file, not `sync -f` of the filesystem: for a plain FUSE mount the kernel's syncfs only
  /// writes dirty pages; it sends no FSYNC, so the server would never be told to FLUSH.
  private func sync(deadline: Duration) -> Sync {
    do {
      let result = try HelperProcess.run(["sync", exportPath], deadline: deadline)
      if result.end == nil { return .timedOut }
      return result.succeeded ? .done : .failed(result.explanation)
    } catch {
      return .failed(error.description)
    }
  }

  /// - Parameter lazily: at once. The kernel waits for written pages otherwise, which a server that hangs does not take.
  private func detach(deadline: Duration, lazily: Bool) -> End {
    let first = lazily ? "the server hangs" : Self.fusermount(["-u"], mountpoint, deadline)
    guard isMounted else { return first == nil ? .unmounted : .alreadyGone }
    let second = Self.fusermount(["-u", "-z"], mountpoint, deadline)
    guard isMounted else { return .detached(reason: first ?? "busy") }
    return .failed(second ?? "it is still mounted")
  }

  private var isMounted: Bool {
    // Where the table cannot be read, trying is the safer answer.
    guard let table = try? MountTable.current() else { return true }
    return table.entries.contains {
      $0.id == entry.id && $0.minor == entry.minor && isSamePath($0.mountpoint, entry.mountpoint)
    }
  }

  /// Detaches a mount whose daemon is dead, so that its place can be used again.
  static func removeStaleMount(_ path: String, deadline: Duration) throws(NBDError) {
    if let problem = fusermount(["-u", "-z"], path, deadline) {
      throw .invalidArgument("\(path) is a dead FUSE mount, and cannot be unmounted: \(problem)")
    }
  }

  /// nil when it worked. Where there is no fusermount3, root can do without.
  private static func fusermount(_ options: [String], _ path: String, _ deadline: Duration) -> String? {
    do {
      do {
        return problem(try HelperProcess.run(["fusermount3"] + options + ["--", path], deadline: deadline))
      } catch .system(.noSuchFileOrDirectory, _) where geteuid() == 0 {
        let lazy = options.contains("-z") ? ["-l"] : []
        return problem(try HelperProcess.run(["umount"] + lazy + ["--", path], deadline: deadline))
      }
    } catch {
      return error.description
    }
  }

  private static func problem(_ result: HelperProcess.Result) -> String? {
    result.succeeded ? nil : result.explanation
  }
}
