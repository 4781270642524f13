import Glibc
import NBDProtocol
import SystemPackage

/// Ends a mount from inside its own daemon, through other processes (``MountControl``), while the daemon goes on serving. Call it
/// on a thread that serves no requests.
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

  let control: MountControl

  /// Writes back what the kernel holds, while there is time left.
  func sync(remaining: () -> Duration) -> Sync {
    do throws(NBDError) {
      let result = try control.carryOut(.sync, remaining: remaining)
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
      reason = problem(.unmount, remaining)
      if reason == nil { return .unmounted }
    }
    return detach(because: reason ?? "there is no time left")
  }

  /// Takes the mount out of sight at once. Whoever uses it can go on until we end.
  func detach(because reason: String) -> End {
    let problem = problem(.detach, countdown(Deadlines.unmount))
    return isMounted ? .failed(problem ?? "it is still mounted") : .detached(reason: reason)
  }

  /// The same, after an abort, for where no child could be started. Returns whether it worked.
  func detachHere() -> Bool {
    control.detachHere()
    return !isMounted
  }

  /// Once the kernel has ended the mount: detaches what is still in its place, if that is the dead mount. Returns whether there
  /// was any, which is so where the mount was aborted and not unmounted.
  func detachDead() -> Bool {
    // Numbers are given again: by now another mount may have ours, and that one has a living daemon.
    isMounted && problem(.detachIfDead, countdown(Deadlines.unmount)) == nil
  }

  /// What went wrong in doing it.
  private func problem(_ action: MountAction, _ remaining: () -> Duration) -> String? {
    do throws(NBDError) {
      let result = try control.carryOut(action, remaining: remaining)
      return result.succeeded ? nil : result.explanation
    } catch { return "\(error)" }
  }

  private var isMounted: Bool { !control.places.present.isEmpty }

  /// Detaches a mount whose daemon is dead, so that its place can be used again.
  static func removeStaleMount(_ path: String, deadline: Duration) throws(NBDError) {
    guard let place = try MountTable.current().mount(at: path) else { return }
    let result: HelperProcess.Result
    do throws(NBDError) {
      let how = Helper.Unmounting.lazily.rawValue
      result = try Helper.unmount.run(place.mountpoint, "\(place.id)", how, remaining: countdown(deadline))
    } catch { result = .failure("\(error)") }
    guard result.succeeded else {
      throw .invalidArgument("\(path) is a dead FUSE mount, and cannot be unmounted: \(result.explanation)")
    }
  }
}
