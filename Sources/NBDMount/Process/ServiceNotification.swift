import Glibc
import NBDProtocol
import SystemPackage

/// Tells a service manager how the mount is doing (*sd_notify(3)*): one datagram to a Unix socket.
struct ServiceNotification: Hashable, Sendable {
  /// The socket: a path, or a name in the abstract namespace after an `@`.
  let address: String

  init(address: String) { self.address = address }

  /// The manager named by `NOTIFY_SOCKET`, or nil without one. The variable is removed, because a server that
  /// we start would otherwise report itself ready in our place. Changes the environment: call it before any
  /// thread is made.
  static func takeFromEnvironment() -> ServiceNotification? {
    guard let value = getenv("NOTIFY_SOCKET") else { return nil }
    let address = String(cString: value)
    unsetenv("NOTIFY_SOCKET")
    return address.isEmpty ? nil : ServiceNotification(address: address)
  }

  /// Milliseconds that a manager may take to have room for the news that matters.
  private static let patience = 2000

  /// - Parameter mainProcess: the process to watch, where it is not the one that the manager started.
  func ready(mainProcess: pid_t? = nil) throws(NBDError) {
    try send("READY=1\n" + (mainProcess.map { "MAINPID=\($0)\n" } ?? ""), patience: Self.patience)
  }
  func stopping() throws(NBDError) { try send("STOPPING=1\n") }

  /// Sends a datagram. One that the manager has no room for, because it does not read, is dropped: nobody's work waits for it.
  ///
  /// - Parameter patience: milliseconds to wait for room.
  func send(_ state: String, patience: Int = 0) throws(NBDError) {
    let doing = "notifying the service manager"
    var socketAddress = sockaddr_un()
    socketAddress.sun_family = sa_family_t(AF_UNIX)
    var name = Array(address.utf8)
    let capacity = MemoryLayout.size(ofValue: socketAddress.sun_path)
    // A path needs its NUL; an abstract name begins with one and is exactly as long as it is.
    let isAbstract = name.first == UInt8(ascii: "@")
    guard isAbstract || name.first == UInt8(ascii: "/"), name.count < capacity else {
      throw .invalidArgument("NOTIFY_SOCKET is not a usable socket address: \(address)")
    }
    if isAbstract { name[0] = 0 } else { name.append(0) }
    withUnsafeMutableBytes(of: &socketAddress.sun_path) { $0.copyBytes(from: name) }
    let offset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? MemoryLayout<sa_family_t>.size
    let length = socklen_t(offset + name.count)

    let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let descriptor = socket(AF_UNIX, type, 0)
    guard descriptor >= 0 else { throw .system(Errno(rawValue: errno), doing: doing) }
    defer { close(descriptor) }
    if patience > 0 {
      var limit = timeval(tv_sec: patience / 1000, tv_usec: patience % 1000 * 1000)
      setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
    let flags = Int32(MSG_NOSIGNAL) | (patience > 0 ? 0 : Int32(MSG_DONTWAIT))
    let message = Array(state.utf8)
    let sent = withUnsafePointer(to: &socketAddress) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, message, message.count, flags, $0, length)
      }
    }
    guard sent == message.count else { throw .system(Errno(rawValue: errno), doing: doing) }
  }
}
