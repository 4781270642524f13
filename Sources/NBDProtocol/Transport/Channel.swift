import Glibc
import SystemPackage

/// The stream of bytes between us and a server: the only thing that sends or receives on a connected socket.
///
/// Nothing here blocks, but ``startTLS(_:_:until:)``. It belongs to whoever drives the connection, and is closed with it.
package struct Channel: ~Copyable {
  /// What became of an attempt to move bytes.
  package enum Result {
    /// So many were moved, at least one.
    case moved(Int)
    /// None now; epoll tells when.
    case notNow
    /// The kernel had no memory for it, which passes: it is to be tried again, but not at once.
    case shortOfMemory
    /// Receiving: the server has said that nothing more comes.
    case ended
    /// There is no connection any more.
    case broken(Errno)
  }

  /// Microseconds until the kernel may have memory again.
  static let memoryNap: UInt32 = 5000

  private let socket: OwnedDescriptor
  /// Nil where bytes go as they are.
  private var tls: TLSSession?

  /// - Parameter socket: a connected stream socket.
  package init(_ socket: consuming OwnedDescriptor) {
    self.socket = socket
    tls = nil
  }

  /// For `epoll` and questions about the connection; not for moving bytes.
  package var descriptor: Int32 { socket.rawValue }

  // MARK: TLS

  /// Encrypts what is sent from here on. Blocks.
  ///
  /// - Throws: see ``TLSSession/start(_:credentials:versions:until:)``.
  package mutating func startTLS(
    _ credentials: TLSCredentials, _ versions: TLSVersions = .current, until deadline: Deadline
  ) throws(NBDError) {
    tls = try TLSSession.start(socket.rawValue, credentials: credentials, versions: versions, until: deadline)
  }

  /// What protects the connection, such as `TLS1.3, AES-256-GCM`; nil where nothing does.
  package var protection: String? { tls?.description }

  /// Bytes were taken that the socket has no room for yet: to be sent again, with or without more of them, when there is.
  @inline(__always)
  package var hasUnsent: Bool { if let tls { tls.hasUnsent } else { false } }

  /// There is something to be received that epoll does not tell of.
  @inline(__always)
  package var hasMore: Bool { if let tls { tls.hasMore } else { false } }

  /// In words: what ``Result/broken(_:)`` meant.
  package func explained(_ error: Errno) -> String { tls?.reason ?? "\(error)" }

  // MARK: Moving bytes

  /// `sendmsg(2)`: as much of `vectors`, in order, as the kernel takes at once.
  @inline(__always)
  func send(_ vectors: UnsafeMutablePointer<IOVector>?, count: Int) -> Result {
    if let tls { return tls.send(vectors, count: count) }
    var message = msghdr()
    message.msg_iov = vectors
    message.msg_iovlen = count
    let result = sendmsg(socket.rawValue, &message, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    return result >= 0 ? .moved(result) : Self.failure()
  }

  /// `recvmsg(2)`: what has come, into `vectors`, in order.
  @inline(__always)
  func receive(_ vectors: UnsafeMutablePointer<IOVector>, count: Int) -> Result {
    if let tls { return tls.receive(vectors, count: count) }
    var message = msghdr()
    message.msg_iov = vectors
    message.msg_iovlen = count
    let result = recvmsg(socket.rawValue, &message, Int32(MSG_DONTWAIT))
    return result > 0 ? .moved(result) : result == 0 ? .ended : Self.failure()
  }

  /// The same with one place, of at least one byte.
  package func receive(into place: UnsafeMutableRawBufferPointer) -> Result {
    var vector = IOVector(iov_base: place.baseAddress, iov_len: place.count)
    return receive(&vector, count: 1)
  }

  /// Throws away what has come, where only the end is of interest: ``Result/moved(_:)`` says that there may be more.
  func drain() -> Result {
    if let tls { return tls.stream.pointee.discard() }
    return withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 16) { receive(into: $0) }
  }

  /// After ``Result/ended``: the peer has closed the connection, and not only said that it sends no more.
  var isClosedByPeer: Bool { if let tls { tls.stream.pointee.isClosedByPeer() } else { true } }

  /// The same with one run of bytes.
  package func send(_ bytes: UnsafeRawBufferPointer) -> Result {
    var vector = IOVector(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    return send(&vector, count: 1)
  }

  static func failure() -> Result {
    switch Errno(rawValue: errno) {
    case .wouldBlock, .interrupted: .notNow
    case .noBufferSpace, .noMemory: .shortOfMemory
    case let error: .broken(error)
    }
  }

  /// `shutdown(2)`: nothing more is sent; the server sees the end when it has read the rest.
  package func endOutput() {
    tls?.endOutput()
    shutdown(socket.rawValue, Int32(SHUT_WR))
  }

  /// `shutdown(2)`: nothing more is sent or received. The descriptor stays a valid one.
  package func end() { shutdown(socket.rawValue, Int32(SHUT_RDWR)) }
}

extension Errno {
  /// The peer, and not our own kernel, has ended the connection.
  var isFence: Bool { self == .connectionReset || self == .brokenPipe }
}
