import Foundation
import Glibc

/// Waits until a program says that it is ready by writing a file, or ends instead.
public enum FileArrival {
  /// Returns once `path` exists and has content. Throws, with the program's words, when `child` ends first or
  /// `deadline` passes.
  public static func wait(for path: String, by child: ChildProcess, within deadline: Duration) async throws {
    let outcome = OneShot<Bool>()
    let watch = try Watch(path)
    child.ended.observe { _ in if outcome.fire(false) { watch.stop() } }
    Thread.detachNewThread { outcome.fire(watch.wait()) }
    let arrived = await outcome.value(within: deadline)
    watch.stop()
    if arrived == true { return }
    let how = child.ended.value.map { "\($0)" } ?? "nothing after \(deadline)"
    throw TestFailure("not ready (\(how)): \(child.command.joined(separator: " "))\n\(child.stderr)")
  }

  /// An inotify watch on the directory of the file, and a socket pair whose one end ends the wait at the other.
  private final class Watch: Sendable {
    private let path: String
    private let inotify: Int32
    private let stopped: Int32
    private let stopper: Int32

    init(_ path: String) throws {
      self.path = path
      inotify = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
      var pair: [Int32] = [-1, -1]
      guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
        throw TestFailure.errno("socketpair")
      }
      stopped = pair[0]
      stopper = pair[1]
      let directory = (path as NSString).deletingLastPathComponent
      guard inotify_add_watch(inotify, directory, UInt32(IN_MODIFY | IN_MOVED_TO)) >= 0 else {
        throw TestFailure.errno("inotify on \(directory)")
      }
    }

    deinit {
      close(inotify)
      close(stopped)
      close(stopper)
    }

    func stop() {
      _ = shutdown(stopper, Int32(SHUT_RDWR))
    }

    /// True when the file has content, false when stopped.
    func wait() -> Bool {
      var ignored = [UInt8](repeating: 0, count: 4096)
      while true {
        // The first look comes after the watch was set: a file that came in between is not missed.
        var status = stat()
        if stat(path, &status) == 0, status.st_size > 0 { return true }
        var descriptors = [
          pollfd(fd: inotify, events: Int16(POLLIN), revents: 0), pollfd(fd: stopped, events: Int16(POLLIN), revents: 0),
        ]
        _ = poll(&descriptors, 2, -1)
        if descriptors[1].revents != 0 { return false }
        while read(inotify, &ignored, ignored.count) > 0 {}
      }
    }
  }
}
