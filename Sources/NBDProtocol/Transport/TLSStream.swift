import CGnuTLS
import Glibc
import SystemPackage

/// The encrypted bytes between GnuTLS and a socket, both ways, in buffers of our own: GnuTLS asks for five bytes and then for a
/// record, and gives a record at a time, while the kernel is asked once for many of them.
///
/// At a fixed address for as long as the session lives, which has a pointer to it.
struct TLSStream {
  /// Of a record, with what encryption adds to it (RFC 5246, 6.2.3).
  static let record = 16_384 + 2048 + 5
  /// Room that data leave for what GnuTLS has to say on its own: alerts, new keys.
  static let reserve = 4096
  static let outputSize = 262_144 + record + reserve
  static let inputSize = 131_072

  let socket: Int32
  let session: gnutls_session_t
  private let output = UnsafeMutableRawPointer.allocate(byteCount: outputSize, alignment: 64)
  private let input = UnsafeMutableRawPointer.allocate(byteCount: inputSize, alignment: 64)
  private var sent = 0
  private var encrypted = 0
  private var taken = 0
  private var received = 0
  /// GnuTLS was last told to wait because nothing more has come.
  var isDry = false
  /// The same because the kernel has no memory.
  var isShortOfMemory = false
  /// The peer has closed its side.
  private(set) var isAtEnd = false
  /// What a system call has said of the connection.
  private(set) var failure: Errno?

  init(socket: Int32, session: gnutls_session_t) {
    self.socket = socket
    self.session = session
  }

  func deallocate() {
    output.deallocate()
    input.deallocate()
  }

  // MARK: Sending

  /// There is something for the socket.
  var hasUnsent: Bool { encrypted > sent }

  /// A whole record will find room.
  var hasRoom: Bool { Self.outputSize - (encrypted - sent) >= Self.record + Self.reserve }

  /// Takes encrypted bytes. -1 where there is no room, which a caller who asks ``hasRoom`` does not see.
  mutating func push(_ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    guard let bytes, count > 0 else { return 0 }
    if encrypted + count > Self.outputSize, sent > 0 {
      memmove(output, output + sent, encrypted - sent)
      encrypted -= sent
      sent = 0
    }
    guard encrypted + count <= Self.outputSize else {
      gnutls_transport_set_errno(session, EAGAIN)
      return -1
    }
    memcpy(output + encrypted, bytes, count)
    encrypted += count
    return count
  }

  /// Gives the socket as much as it takes.
  mutating func flush() {
    while encrypted > sent, failure == nil {
      let count = Glibc.send(socket, output + sent, encrypted - sent, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      guard count >= 0 else {
        switch Errno(rawValue: errno) {
        case .wouldBlock: break
        case .interrupted: continue
        case .noBufferSpace, .noMemory: isShortOfMemory = true
        case let error: failure = error
        }
        return
      }
      sent += count
    }
    sent = 0
    encrypted = 0
  }

  // MARK: Receiving

  /// There are encrypted bytes which GnuTLS has not asked for, though more was not wanting.
  var hasInput: Bool { received > taken && !isDry }

  /// Gives GnuTLS what has come.
  mutating func pull(_ place: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    if taken == received {
      let result = refill()
      guard result > 0 else { return result }
    }
    guard let place else { return 0 }
    let share = min(count, received - taken)
    memcpy(place, input + taken, share)
    taken += share
    return share
  }

  private mutating func refill() -> Int {
    let count = recv(socket, input, Self.inputSize, Int32(MSG_DONTWAIT))
    guard count <= 0 else {
      taken = 0
      received = count
      return count
    }
    if count == 0 {
      isAtEnd = true
      return 0
    }
    switch Errno(rawValue: errno) {
    case .wouldBlock, .interrupted: isDry = true
    case .noBufferSpace, .noMemory: isShortOfMemory = true
    case let error:
      failure = error
      gnutls_transport_set_errno(session, EIO)
      return -1
    }
    gnutls_transport_set_errno(session, EAGAIN)
    return -1
  }

  /// The peer has closed the connection. TLS ends in one direction first.
  mutating func isClosedByPeer() -> Bool {
    var byte: UInt8 = 0
    if !isAtEnd, recv(socket, &byte, 1, Int32(MSG_DONTWAIT | MSG_PEEK)) == 0 { isAtEnd = true }
    return isAtEnd
  }

  /// Throws away what has come, of which nothing is decrypted any more: what there is to be seen is the end.
  mutating func discard() -> Channel.Result {
    let count = recv(socket, input, Self.inputSize, Int32(MSG_DONTWAIT))
    // Not as data. Where there is more, epoll says so again.
    return count > 0 ? .notNow : count == 0 ? .ended : Channel.failure()
  }
}
