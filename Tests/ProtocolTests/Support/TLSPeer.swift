import CGnuTLS
import Glibc
import TestSupport
import Testing

@testable import NBDProtocol

/// A server in this process that speaks NBD over TLS, to do what no real server does. Blocking, over a plain socket, for one thread.
final class TLSPeer {
  private let session: TLSServerSession
  private let credentials: Credentials

  /// Freed after the session that refers to them.
  private final class Credentials {
    let pointer: gnutls_psk_server_credentials_t

    init(_ keys: String) throws {
      var made: gnutls_psk_server_credentials_t?
      try TLSServerSession.check(gnutls_psk_allocate_server_credentials(&made))
      pointer = try #require(made)
      try TLSServerSession.check(gnutls_psk_set_server_credentials_file(pointer, keys))
    }

    deinit { gnutls_psk_free_server_credentials(pointer) }
  }

  /// Greets in the clear, agrees to TLS, and shakes hands.
  ///
  /// - Parameters:
  ///   - keys: a file of `USERNAME:KEY` lines.
  ///   - versions: those that it knows, as GnuTLS writes them.
  init(_ socket: Int32, keys: String, versions: String) throws {
    try Self.send(Server.greeting(), to: socket)
    // The client's flags, and NBD_OPT_STARTTLS.
    var words = [UInt8](repeating: 0, count: 20)
    guard recv(socket, &words, 20, Int32(MSG_WAITALL)) == 20 else { throw TLSServerSession.Failure(code: GNUTLS_E_PULL_ERROR) }
    try Self.send(Server.ack(5), to: socket)
    credentials = try Credentials(keys)
    session = try TLSServerSession(socket, credentials.pointer, versions: versions)
  }

  private static func send(_ bytes: [UInt8], to socket: Int32) throws {
    guard Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
      throw TLSServerSession.Failure(code: GNUTLS_E_PUSH_ERROR)
    }
  }

  // MARK: Inside TLS

  func send(_ bytes: [UInt8]) throws { try session.send(bytes) }

  /// Ends TLS, and leaves the connection.
  func end() { session.end() }

  /// Exactly `count` bytes; nil where the client has ended TLS before.
  func receive(_ count: Int) throws -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var position = 0
    while position < count {
      let got = try bytes.withUnsafeMutableBytes { try session.receive(UnsafeMutableRawBufferPointer(rebasing: $0[position...])) }
      if got == 0 { return nil }
      position += got
    }
    return bytes
  }

  /// The options up to `NBD_OPT_GO`, none of which it knows but that.
  func negotiate() throws {
    while let header = try receive(16) {
      func number(_ range: Range<Int>) -> UInt32 { header[range].reduce(0) { $0 << 8 | UInt32($1) } }
      let option = number(8..<12)
      let length = Int(number(12..<16))
      if length > 0, try receive(length) == nil { return }
      if option == 7 { return try send(Server.infoExport(size: 1 << 20, flags: 1) + Server.ack(7)) }
      try send(Server.error(option, 1))
    }
  }
}
