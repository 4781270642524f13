import Glibc
import NBDProtocol
import Synchronization

/// A server that can be connected to, any number of times, and started again where it was started here.
package protocol Target: AnyObject {
  /// For messages; nothing secret.
  var name: String { get }
  /// Each connection has a server of its own, so that nothing can be seen from a second one.
  var hasServerForEachConnection: Bool { get }
  /// It is TCP, to that port.
  var tcpPort: UInt16? { get }
  /// With what TLS begins; nil where it was not asked for.
  var tls: TLSCredentials? { get }
  /// A new connection. Starts the server again where it was started here and has gone.
  func connect(deadline: Deadline) throws(NBDError) -> OwnedDescriptor
  /// Asks a server that was started here to end (SIGTERM). False where none was.
  func terminate() -> Bool
  /// How the server ended that was started here, where that was no ordinary end; asked once after each.
  func takeCrash() -> String?
  /// Ends what was started here.
  func shutDown()
}

extension Target {
  package var tls: TLSCredentials? { nil }
}

/// A server at an address, or one that this process starts.
package final class LiveTarget: Target {
  private let address: ServerAddress
  private var endpoint: ServerEndpoint?
  private var crash: String?

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

  package var tcpPort: UInt16? { if case .tcp(_, let port) = address { port } else { nil } }

  package func connect(deadline: Deadline) throws(NBDError) -> OwnedDescriptor {
    if hasServerForEachConnection { shutDown() }
    do {
      return try connectOnce(deadline)
    } catch {
      guard case .socketActivation = address else { throw error }
      // It may have left in peace with its last client, as qemu-nbd does, or not.
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
    switch address {
    case .command, .socketActivation: break
    default: return
    }
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
    return new
  }

  package func terminate() -> Bool { endpoint?.terminate() ?? false }

  package func takeCrash() -> String? {
    noteEnding()
    defer { crash = nil }
    return crash
  }

  /// A server ends by itself with a status; one that a signal ended has crashed.
  private func noteEnding() {
    if let ending = endpoint?.processEnding, ending.contains("signal") { crash = ending }
  }

  package func shutDown() {
    guard let old = endpoint else { return }
    if case .socketActivation = address { noteEnding() }
    endpoint = nil
    old.shutdown(termMilliseconds: 500)
  }
}
