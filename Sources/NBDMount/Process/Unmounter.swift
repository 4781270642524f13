import Glibc
import NBDProtocol
import SystemPackage

/// Ends a mount from inside its own daemon, through children (``Helper``), while the daemon goes on serving. Call it on a thread
/// that serves no requests.
///
/// A mount is known by its device, which no other has while this one lives, and not by its path: a directory above it may be
/// renamed, and others may have bound it to other places.
struct Unmounter: Sendable {
  /// What became of the data that the kernel still held.
  enum Sync: Hashable, Sendable {
    case done
    /// fsync said so: data is lost, and the exit status must not be 0.
    case failed(String)
    case timedOut
    /// Not tried. What is not lost by that: an orderly unmount writes back, too.
    case unreachable(String)
  }

  enum End: Hashable, Sendable {
    case unmounted
    /// Busy, so only detached: the session goes on until the last file is closed.
    case detached(reason: String)
    /// Somebody else had unmounted it, or is doing so.
    case alreadyGone
    case failed(String)
  }

  /// Attempts to unmount, and the time between them: programs look at a new mount, and our own ``PrefetchChild`` has the file
  /// open for moments.
  private static let attempts = 5
  private static let pause: UInt32 = 40_000

  private let major: UInt32
  private let minor: UInt32
  /// Of the export, below where it is mounted: empty where a regular file is mounted over.
  private let file: String

  /// - Throws: ``NBDError/invalidArgument(_:)`` where nothing is mounted there.
  init(_ mountpoint: Mountpoint, in table: MountTable) throws(NBDError) {
    guard let entry = table.mount(at: mountpoint.path) else {
      throw .invalidArgument("\(mountpoint.path) is not mounted")
    }
    major = entry.major
    minor = entry.minor
    file = if case .directory(_, let filename) = mountpoint.shape { "/\(filename)" } else { "" }
  }

  /// Writes back what the kernel holds, while there is time left.
  func sync(remaining: () -> Duration) -> Sync {
    guard let place = places.last else { return .done }
    do throws(NBDError) {
      let result = try Helper.sync.run(place.mountpoint + file, "\(place.id)", remaining: remaining)
      switch result.end {
      case nil: return .timedOut
      case .exited(0): return .done
      case .exited(Helper.failure): return .failed(result.explanation)
      default: return .unreachable(result.explanation)
      }
    } catch { return .unreachable("\(error)") }
  }

  /// Unmounts, which makes the kernel write back what it still holds; while there is time left. Detaches what is in use.
  func unmount(remaining: () -> Duration) -> End {
    var reason: String?
    for attempt in 0..<Self.attempts {
      guard isMounted else { return attempt == 0 ? .alreadyGone : .unmounted }
      if attempt > 0 { usleep(Self.pause) }
      guard remaining() > .zero else { break }
      reason = each(.orderly, remaining)
      if reason == nil { return .unmounted }
    }
    return detach(because: reason ?? "there is no time left")
  }

  /// Takes the mount out of sight at once. Whoever uses it can go on until we end.
  func detach(because reason: String) -> End {
    let problem = each(.lazily, countdown(Deadlines.unmount))
    return isMounted ? .failed(problem ?? "it is still mounted") : .detached(reason: reason)
  }

  /// The same, after an abort, for where no child could be started. Returns whether it worked.
  func detachHere() -> Bool {
    for place in places.reversed() { Helper.detachHere(place.mountpoint, place.id) }
    return !isMounted
  }

  /// Once the kernel has ended the mount: detaches what is still in its place, if that is the dead mount. Returns whether there
  /// was any, which is so where the mount was aborted and not unmounted.
  func detachDead() -> Bool {
    // Numbers are given again: by now another mount may have ours, and that one has a living daemon.
    isMounted && each(.ifDead, countdown(Deadlines.unmount)) == nil
  }

  /// Unmounts it wherever it is mounted. Returns what went wrong.
  private func each(_ how: Helper.Unmounting, _ remaining: () -> Duration) -> String? {
    var problem: String?
    for place in places.reversed() { problem = Self.unmount(place, how, remaining) ?? problem }
    return problem
  }

  private var isMounted: Bool { !places.isEmpty }

  /// Where it is mounted now, in this mount namespace.
  private var places: [MountTable.Entry] {
    guard let table = try? MountTable.current() else { return [] }
    return table.entries.filter { $0.major == major && $0.minor == minor }
  }

  /// nil when it worked.
  private static func unmount(
    _ place: MountTable.Entry, _ how: Helper.Unmounting, _ remaining: () -> Duration
  ) -> String? {
    do throws(NBDError) {
      let result = try Helper.unmount.run(place.mountpoint, "\(place.id)", how.rawValue, remaining: remaining)
      return result.succeeded ? nil : result.explanation
    } catch { return "\(error)" }
  }

  /// Detaches a mount whose daemon is dead, so that its place can be used again.
  static func removeStaleMount(_ path: String, deadline: Duration) throws(NBDError) {
    guard let place = try MountTable.current().mount(at: path) else { return }
    if let problem = unmount(place, .lazily, countdown(deadline)) {
      throw .invalidArgument("\(path) is a dead FUSE mount, and cannot be unmounted: \(problem)")
    }
  }
}
