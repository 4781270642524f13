import CLinux
import Glibc
import SystemPackage

/// An `epoll(7)` set of a few descriptors, level-triggered, each known by a small number.
final class Epoll: Sendable {
  private let descriptor: OwnedDescriptor

  init() throws(NBDError) {
    descriptor = OwnedDescriptor(
      try doing("cannot create an epoll set") { () throws(Errno) in
        try valueOrErrno { epoll_create1(Int32(EPOLL_CLOEXEC)) }
      })
  }

  struct Interest: OptionSet {
    let rawValue: UInt32
    static let readable = Interest(rawValue: EPOLLIN.rawValue)
    static let writable = Interest(rawValue: EPOLLOUT.rawValue)
    /// Reported once for each new event, so that the reactor need not read an eventfd to silence it.
    static let edge = Interest(rawValue: EPOLLET.rawValue)
    /// Of several sets that watch the same thing, one is woken and not all (`EPOLLEXCLUSIVE`, whose macro does not fit
    /// Swift's idea of an enumeration). Such an entry can be removed and not modified.
    static let exclusive = Interest(rawValue: 1 << 28)
  }

  /// What a descriptor is to the reactor, and at the same time which ones are ready.
  struct Ready: OptionSet {
    let rawValue: UInt64
    static let socket = Ready(rawValue: 1)
    static let source = Ready(rawValue: 2)
    static let mailbox = Ready(rawValue: 4)
    /// The socket of a connection that another one has replaced.
    static let retired = Ready(rawValue: 8)
  }

  /// `epoll_ctl(EPOLL_CTL_ADD)`. `name` comes back from ``wait(milliseconds:)``.
  func add(_ descriptor: Int32, as name: Ready, _ interest: Interest) throws(NBDError) {
    try control(EPOLL_CTL_ADD, descriptor, name, interest)
  }

  /// `epoll_ctl(EPOLL_CTL_MOD)`.
  func modify(_ descriptor: Int32, as name: Ready, _ interest: Interest) throws(NBDError) {
    try control(EPOLL_CTL_MOD, descriptor, name, interest)
  }

  /// `epoll_ctl(EPOLL_CTL_DEL)`. A descriptor that is closed leaves by itself.
  func remove(_ descriptor: Int32) {
    epoll_ctl(self.descriptor.rawValue, EPOLL_CTL_DEL, descriptor, nil)
  }

  private func control(
    _ operation: Int32, _ descriptor: Int32, _ name: Ready, _ interest: Interest
  ) throws(NBDError) {
    var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: name.rawValue))
    let result = epoll_ctl(self.descriptor.rawValue, operation, descriptor, &event)
    let error = Errno(rawValue: errno)
    if result == -1 { throw .system(error, doing: "cannot watch a descriptor") }
  }

  /// `epoll_wait(2)`: waits at most `milliseconds`, or for ever where that is -1, and says what is ready. A signal ends
  /// the wait early.
  func wait(milliseconds: Int32) -> Ready {
    withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 4) { events in
      var ready: Ready = []
      // glibc 2.41 says that the pointer is never null, those before it say nothing.
      guard let first = events.baseAddress else { return ready }
      let count = epoll_wait(descriptor.rawValue, first, 4, milliseconds)
      for index in 0..<max(0, Int(count)) { ready.formUnion(Ready(rawValue: events[index].data.u64)) }
      return ready
    }
  }
}

/// An `eventfd(2)` that ends another thread's ``Epoll/wait(milliseconds:)``.
final class Wakeup: Sendable {
  private let descriptor: OwnedDescriptor

  init() throws(NBDError) {
    descriptor = OwnedDescriptor(
      try doing("cannot create an eventfd") { () throws(Errno) in
        try valueOrErrno { eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) }
      })
  }

  var rawDescriptor: Int32 { descriptor.rawValue }

  /// Never blocks: a counter that is full has woken the sleeper already.
  func signal() {
    _ = eventfd_write(descriptor.rawValue, 1)
  }
}
