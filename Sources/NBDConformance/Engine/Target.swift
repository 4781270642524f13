import Glibc
import NBDProtocol
import Synchronization

/// A server that can be connected to, any number of times, and started again where it was started here.
package protocol Target: AnyObject {
  /// For messages; nothing secret.
  var name: String { get }
  /// Each connection has a server of its own, so that nothing can be seen from a second one.
  var hasServerForEachConnection: Bool { get }
  /// It was started by this process, which can end it and start it again.
  var isStartedHere: Bool { get }
  /// It is TCP, to that port.
  var tcpPort: UInt16? { get }
  /// With what TLS begins; nil where it was not asked for.
  var tls: TLSCredentials? { get }
  /// A new connection. Starts the server again where it was started here and has gone.
  func connect(deadline: Deadline) throws(NBDError) -> OwnedDescriptor
  /// Asks a server that was started here to end (SIGTERM). False where none was.
  func terminate() -> Bool
  /// How the server ended that was started here, where it did not mean to end; told once.
  ///
  /// - Parameter milliseconds: how long it is waited for, as a process closes its sockets before it counts as ended.
  func takeCrash(within milliseconds: Int) -> String?
  /// Ends what was started here.
  func shutDown()
}

/// A server at an address, or one that this process starts.
package final class LiveTarget: Target {
  private let address: ServerAddress
  private var endpoint: ServerEndpoint?
  private var crash: String?
  /// It was told to end.
  private var isEnding = false
  /// It ends when its last client goes, as qemu-nbd does, and is started again for the next.
  private var leavesWithItsClient = false

  package let tls: TLSCredentials?

  /// Nothing is started or connected to yet.
  ///
  /// - Parameter tls: how connections are encrypted; its files are read here. Nil, or a policy of `off`: not at all.
  /// - Throws: what making ``TLSCredentials`` of it throws.
  package init(_ address: ServerAddress, tls: TLSConfiguration? = nil) throws(NBDError) {
    self.address = address
    self.tls = if let tls, tls.policy != .off { try TLSCredentials(tls, for: address) } else { nil }
  }

  package var name: String { "\(address)" }

  package var hasServerForEachConnection: Bool { address.maximumConnections == 1 }

  package var isStartedHere: Bool { address.isStarted }

  package var tcpPort: UInt16? { if case .tcp(_, let port) = address { port } else { nil } }

  package func connect(deadline: Deadline) throws(NBDError) -> OwnedDescriptor {
    if hasServerForEachConnection { shutDown() }
    // A client that comes while it ends would be lost with it.
    if leavesWithItsClient, endpoint?.processEnding(by: .after(milliseconds: Self.leaveLimit)) != nil { shutDown() }
    do {
      return try connectOnce(deadline)
    } catch {
      // It may have left in peace with its last client, as qemu-nbd does, or not. One that lives may refuse a second client.
      guard case .socketActivation = address, endpoint?.processEnding(by: .after(milliseconds: Self.leaveLimit)) != nil else {
        throw error
      }
      shutDown()
      return try connectOnce(deadline)
    }
  }

  private func connectOnce(_ deadline: Deadline) throws(NBDError) -> OwnedDescriptor {
    let isNew = endpoint == nil
    let socket = try started().connect(deadline: deadline)
    if isNew { awaitStart(socket) }
    return socket
  }

  /// Waits for the first byte, or the end, of a server that was started here a moment ago: servers speak first, and an
  /// interpreter on a busy machine takes longer to begin than a server may be silent later.
  private func awaitStart(_ socket: borrowing OwnedDescriptor) {
    guard isStartedHere else { return }
    let limit = Deadline.after(milliseconds: Self.startLimit)
    var entry = pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)
    while poll(&entry, 1, limit.pollTimeout) < 0, errno == EINTR {}
  }

  /// Milliseconds.
  private static let startLimit = 20_000

  private func started() throws(NBDError) -> ServerEndpoint {
    if let endpoint { return endpoint }
    let new = try ServerEndpoint(address)
    endpoint = new
    isEnding = false
    return new
  }

  package func terminate() -> Bool {
    isEnding = true
    return endpoint?.terminate() ?? false
  }

  package func takeCrash(within milliseconds: Int) -> String? {
    noteEnding(within: milliseconds)
    defer { crash = nil }
    return crash
  }

  /// A server that leaves in peace has status 0, as qemu-nbd when its last client goes. Any other ending is a crash, such as an
  /// exception that nothing has caught; but one that serves a single client may say with its status how that went.
  private func noteEnding(within milliseconds: Int) {
    guard let old = endpoint, let ending = old.processEnding(by: .after(milliseconds: milliseconds)) else { return }
    if !hasServerForEachConnection, !isEnding, ending == Self.peace { leavesWithItsClient = true }
    guard ending.contains("signal") || (!hasServerForEachConnection && ending != Self.peace) else { return }
    crash = ending
    endpoint = nil
    old.shutdown(termMilliseconds: 0)
  }

  private static let peace = "exited with status 0"
  /// Milliseconds for a server to end when its last client has gone, where it is one that does.
  private static let leaveLimit = 200

  package func shutDown() {
    if case .socketActivation = address { noteEnding(within: 100) }
    guard let old = endpoint else { return }
    endpoint = nil
    old.shutdown(termMilliseconds: 500)
  }
}
