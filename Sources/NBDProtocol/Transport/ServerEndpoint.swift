import Glibc
import Synchronization
import SystemPackage

/// A server that can be connected to: found, or started, and ended when it was started here.
///
/// May be used from any thread. ``connect(deadline:)`` blocks, so call it neither on a reactor's thread nor on
/// Swift's cooperative pool. Start it after daemonizing: a started server belongs to the process that started it.
public final class ServerEndpoint: Sendable {
  public let address: ServerAddress

  /// Most connections that can be made to it, `nil` where only the server decides. Counts all that ever were:
  /// a command that has lost its connection cannot be connected to again.
  public var maximumConnections: Int? { address.maximumConnections }

  private struct State: ~Copyable, Sendable {
    /// The one connection of a command or an inherited descriptor, until it is asked for.
    var connection: OwnedDescriptor?
    var command: ChildProcess?
    var activation: SocketActivation?
    var isShutDown = false
  }
  private let state: Mutex<State>

  /// How its connections are encrypted; nil where they are not.
  let tls: TLSCredentials?
  /// Who a server that is started here has to be; nil for who this process is.
  private let identity: ProcessIdentity?

  /// Starts the server, where `address` says how; else only takes note of it.
  ///
  /// - Parameter tls: whether and how connections are encrypted; its files are read here.
  ///
  /// Throws ``NBDError/system(_:doing:)`` where the program cannot be started or the descriptor is no connected
  /// stream socket; the descriptor is taken over only when this succeeds.
  public convenience init(_ address: ServerAddress, tls: TLSConfiguration? = nil) throws(NBDError) {
    try self.init(address, tls: tls, servedBy: nil)
  }

  /// The same of a program that is to become another user: what it starts is that user from the beginning, so that it can be ended
  /// and started again later. The files of TLS are read as what the program is now.
  package init(_ address: ServerAddress, tls: TLSConfiguration?, servedBy identity: ProcessIdentity?) throws(NBDError) {
    self.address = address
    self.identity = identity
    self.tls = if let tls, tls.policy != .off { try TLSCredentials(tls, for: address) } else { nil }
    state = Mutex(try Self.start(address, as: identity))
  }

  private static func start(_ address: ServerAddress, as identity: ProcessIdentity?) throws(NBDError) -> State {
    guard let identity, address.isStarted else { return try start(address) }
    return try identity.assumed { () throws(NBDError) in try start(address) }
  }

  /// Starts the server, where `address` says how.
  private static func start(_ address: ServerAddress) throws(NBDError) -> State {
    var state = State()
    switch address {
    case .tcp, .unix, .vsock:
      break
    case .descriptor(let number):
      state.connection = try adopt(number)
    case .command(let arguments):
      let shown = "starting \(printable(arguments.first ?? ""))"
      let pair = try doing(shown) { () throws(Errno) in try Syscall.socketpair() }
      let ours = pair.near
      let theirs = pair.far
      try doing(shown) { () throws(Errno) in
        try Syscall.setNonBlocking(ours.rawValue)
        for end in [ours.rawValue, theirs.rawValue] { try Connector.configure(end, family: AF_UNIX) }
      }
      // Our copy of the server's end closes here. So the server sees the end of the stream when ours closes,
      // even if this process is killed.
      state.command = try ChildProcess.start(
        arguments,
        descriptors: [(child: 0, parent: theirs.rawValue), (child: 1, parent: theirs.rawValue)])
      state.connection = consume ours
    case .socketActivation(let arguments):
      state.activation = try SocketActivation.start(arguments)
    }
    return state
  }

  /// A server that was started here and is of no use any more, because it has ended or cannot be connected to twice, is ended and
  /// started anew; any other is left alone. Blocks. When this returns, the old one does nothing more.
  ///
  /// - Parameter isBeginning: no other thread relies yet on who this process is.
  /// - Throws: what starting throws; ``NBDError/disconnected(_:)`` where it was shut down, or was inherited, or where this process
  ///   has yet to become who the server has to be.
  func restart(isBeginning: Bool = false) throws(NBDError) {
    try state.withLock { state throws(NBDError) in
      guard !state.isShutDown else { throw .disconnected("\(address) was shut down") }
      switch address {
      case .tcp, .unix, .vsock: return
      case .descriptor: throw .disconnected("\(address) cannot be connected to again")
      case .command:
        state.connection = nil
        state.command.take()?.end(leaveMilliseconds: Self.leaveMilliseconds, termMilliseconds: Self.termMilliseconds)
      case .socketActivation:
        guard state.activation?.child.ending(by: .after(milliseconds: 0)) != nil || state.activation == nil else { return }
        state.activation.take()?.end(termMilliseconds: Self.termMilliseconds)
      }
      let isUser = identity.map { geteuid() == $0.user } ?? true
      guard isUser || isBeginning else { throw .disconnected("\(address) has ended too early") }
      state = try Self.start(address, as: isUser ? nil : identity)
    }
  }

  /// Milliseconds for a command to leave by itself when its connection has closed, and after SIGTERM.
  private static let leaveMilliseconds = 500
  private static let termMilliseconds = 2000

  /// Whether connections to it can be made after the first were lost.
  public var canReconnect: Bool { if case .descriptor = address { false } else { true } }

  /// The server of a URI.
  ///
  /// - Parameters:
  ///   - tls: goes before what the URI says about TLS.
  ///   - usesFiles: the files that the URI names may be read.
  public convenience init(_ uri: NBDURI, tls: TLSConfiguration? = nil, usesFiles: Bool = false) throws(NBDError) {
    try self.init(uri.address, tls: try uri.tlsConfiguration(tls, usesFiles: usesFiles))
  }

  deinit { shutdown() }

  /// A new connection: a non-blocking stream socket, closed on exec, with the options of its family set.
  ///
  /// Throws ``NBDError/timedOut(_:)`` at `deadline` (resolving a name is outside it: the system's resolver has its own),
  /// ``NBDError/system(_:doing:)`` naming every address tried, ``NBDError/disconnected(_:)`` where there is no
  /// server to connect to (any more).
  public func connect(deadline: Deadline) throws(NBDError) -> OwnedDescriptor {
    switch address {
    case .tcp(let host, let port):
      return try Connector.connect(
        toFirstOf: try SocketAddress.resolve(host: host, service: "\(port)"), named: "\(address)", deadline: deadline)
    case .unix(let path):
      return try connect(to: try SocketAddress(unixPath: path), deadline)
    case .vsock(let cid, let port):
      return try connect(to: SocketAddress(cid: cid, port: port), deadline)
    case .descriptor, .command:
      return try takeConnection()
    case .socketActivation:
      let activated = state.withLock { $0.activation?.address }
      guard let activated else { throw .disconnected("\(address) was shut down") }
      do {
        return try connect(to: activated, deadline)
      } catch {
        if let ending = processEnding { throw .disconnected("\(address) \(ending)") }
        throw error
      }
    }
  }

  private func connect(to only: SocketAddress, _ deadline: Deadline) throws(NBDError) -> OwnedDescriptor {
    try Connector.connect(toFirstOf: [only], named: "\(address)", deadline: deadline)
  }

  private func takeConnection() throws(NBDError) -> OwnedDescriptor {
    let (number, isShutDown) = state.withLock { ($0.connection.take()?.release(), $0.isShutDown) }
    if let number { return OwnedDescriptor(number) }
    throw .disconnected("\(address) " + (isShutDown ? "was shut down" : "serves one connection only"))
  }

  /// How the started server ended, for messages ("exited with status 1"); `nil` while it runs or where none was
  /// started. Worth a look when a connection ends before the greeting; waits a moment, because a process closes its sockets
  /// before it counts as ended.
  public var processEnding: String? { processEnding(by: .after(milliseconds: 100)) }

  /// The same; `nil` if it still runs at `deadline`.
  package func processEnding(by deadline: Deadline) -> String? {
    state.withLock { $0.command?.ending(by: deadline) ?? $0.activation?.child.ending(by: deadline) }
  }

  /// Asks the server to end, if it was started here: SIGTERM to its process group, and no waiting. False where it was not.
  package func terminate() -> Bool {
    state.withLock {
      guard let process = $0.command?.identifier ?? $0.activation?.child.identifier else { return false }
      Syscall.signalGroup(process, SIGTERM)
      return true
    }
  }

  /// Ends the server, if it was started here, and removes what was made for it. Returns when it is gone, after
  /// `termMilliseconds` and a second and a half at most, unless the kernel cannot end it. May be repeated.
  ///
  /// Close the connections first: a command then leaves by itself, and is waited for half a second. After that its
  /// process group gets SIGTERM, and after `termMilliseconds` SIGKILL.
  public func shutdown(termMilliseconds: Int = 2000) {
    state.withLock {
      $0.isShutDown = true
      $0.connection = nil
      $0.command.take()?.end(leaveMilliseconds: 500, termMilliseconds: termMilliseconds)
      $0.activation.take()?.end(termMilliseconds: termMilliseconds)
    }
  }

  /// Checks that `number` is a connected stream socket and makes it ours.
  private static func adopt(_ number: Int32) throws(NBDError) -> OwnedDescriptor {
    try doing("using file descriptor \(number)") { () throws(Errno) in
      guard try Syscall.option(SO_TYPE, of: number) == Int32(SOCK_STREAM.rawValue) else { throw Errno(rawValue: EPROTOTYPE) }
      _ = try Syscall.peerAddress(number)  // ENOTCONN for a listening socket
      try Syscall.setCloseOnExec(number)
      try Syscall.setNonBlocking(number)
      try Connector.configure(number, family: try Syscall.option(SO_DOMAIN, of: number))
      return OwnedDescriptor(number)
    }
  }
}
