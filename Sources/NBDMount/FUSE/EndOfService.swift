import CLinux
import Glibc
import NBDProtocol
import Synchronization
import SystemPackage

/// What may end the service of a mount, for the one thread that waits for it.
final class EndOfService: Sendable {
  enum Cause: Hashable, Sendable {
    /// The kernel has ended the mount: it was unmounted, or aborted.
    case gone
    /// The engine cannot go on, for this errno.
    case failed(Int32)
    /// A signal has asked for the end.
    case requested
  }

  private struct State {
    /// What the engine has said: an errno, or 0.
    var result: Int32?
    var isRequested = false
  }
  private let state = Mutex(State())
  private let wakeup: OwnedDescriptor
  /// The kernel's list of mounts, for poll(2) to say that it has changed.
  private let mounts: OwnedDescriptor

  init() throws(NBDError) {
    wakeup = OwnedDescriptor(try Self.made("an eventfd", eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))))
    mounts = OwnedDescriptor(try Self.made("/proc/self/mountinfo", open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)))
  }

  private static func made(_ what: String, _ descriptor: Int32) throws(NBDError) -> Int32 {
    guard descriptor >= 0 else { throw .system(Errno(rawValue: errno), doing: "opening \(what)") }
    return descriptor
  }

  /// The engine serves no more; the first result counts. From any thread. `error`: an errno, or 0.
  func signal(_ error: Int32) {
    state.withLock { $0.result = $0.result ?? error }
    eventfd_write(wakeup.rawValue, 1)
  }

  /// A signal asks for the end. From any thread.
  func request() {
    state.withLock { $0.isRequested = true }
    eventfd_write(wakeup.rawValue, 1)
  }

  var isRequested: Bool { state.withLock { $0.isRequested } }
  /// What the engine has said, once it has.
  var result: Int32? { state.withLock { $0.result } }

  /// Waits until there is a reason to look at the mount again, or for `time`. For one thread.
  ///
  /// What there is to see, the device of the mount would say itself (`POLLERR`), but whoever waits for that is woken by
  /// every request, too. So it is looked at now and then, and when the list of mounts has changed.
  func wait(atMost time: Duration) {
    var events = [
      pollfd(fd: wakeup.rawValue, events: Int16(POLLIN), revents: 0),
      pollfd(fd: mounts.rawValue, events: Int16(POLLPRI), revents: 0),
    ]
    guard time > .zero, poll(&events, 2, time.pollTimeout) > 0, events[0].revents != 0 else { return }
    var count: eventfd_t = 0
    eventfd_read(wakeup.rawValue, &count)
  }
}
