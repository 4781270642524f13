import Glibc
import SystemPackage

/// The stream of bytes between us and a server: the only thing that sends or receives on a connected socket.
///
/// Nothing here blocks. It belongs to whoever drives the connection, and is closed with it.
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

  /// - Parameter socket: a connected stream socket.
  package init(_ socket: consuming OwnedDescriptor) { self.socket = socket }

  /// For `epoll` and questions about the connection; not for moving bytes.
  package var descriptor: Int32 { socket.rawValue }

  /// `sendmsg(2)`: as much of `vectors`, in order, as the kernel takes at once.
  @inline(__always)
  func send(_ vectors: UnsafeMutablePointer<IOVector>?, count: Int) -> Result {
    var message = msghdr()
    message.msg_iov = vectors
    message.msg_iovlen = count
    let result = sendmsg(socket.rawValue, &message, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    return result >= 0 ? .moved(result) : Self.failure()
  }

  /// `recvmsg(2)`: what has come, into `vectors`, in order.
  @inline(__always)
  func receive(_ vectors: UnsafeMutablePointer<IOVector>, count: Int) -> Result {
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

  /// The same with one run of bytes.
  package func send(_ bytes: UnsafeRawBufferPointer) -> Result {
    var vector = IOVector(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    return send(&vector, count: 1)
  }

  private static func failure() -> Result {
    switch Errno(rawValue: errno) {
    case .wouldBlock, .interrupted: .notNow
    case .noBufferSpace, .noMemory: .shortOfMemory
    case let error: .broken(error)
    }
  }

  /// `shutdown(2)`: nothing more is sent; the server sees the end when it has read the rest.
  package func endOutput() { shutdown(socket.rawValue, Int32(SHUT_WR)) }

  /// `shutdown(2)`: nothing more is sent or received. The descriptor stays a valid one.
  package func end() { shutdown(socket.rawValue, Int32(SHUT_RDWR)) }
}

extension Errno {
  /// The peer, and not our own kernel, has ended the connection.
  var isFence: Bool { self == .connectionReset || self == .brokenPipe }
}
