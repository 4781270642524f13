import CGnuTLS
import Glibc

@testable import NBDProtocol

/// The server's side of a connection over TLS with a pre-shared key, in this process: to do what no real server does.
///
/// Blocking, over a plain socket, for one thread. It shares no code with the library but GnuTLS.
final class TLSPeer {
  struct Failure: Error, CustomStringConvertible {
    let code: Int32
    var description: String { String(cString: gnutls_strerror(code)) }
  }

  let socket: Int32
  private var session: gnutls_session_t?
  private var credentials: gnutls_psk_server_credentials_t?

  /// Greets in the clear, agrees to TLS, and shakes hands.
  ///
  /// - Parameters:
  ///   - keys: a file of `USERNAME:KEY` lines.
  ///   - versions: those that it knows, as GnuTLS writes them.
  init(_ socket: Int32, keys: String, versions: String = "+VERS-TLS1.3:+VERS-TLS1.2") throws {
    self.socket = socket
    try sendClear(Server.greeting())
    // The client's flags, and NBD_OPT_STARTTLS.
    try receiveClear(20)
    try sendClear(Server.ack(5))
    // Without the last, a send to a client that is gone ends the tests.
    try check(gnutls_init(&session, UInt32(GNUTLS_SERVER.rawValue | GNUTLS_NO_SIGNAL.rawValue)))
    try check(gnutls_priority_set_direct(session, "NORMAL:-VERS-ALL:\(versions):-KX-ALL:+ECDHE-PSK:+DHE-PSK", nil))
    try check(gnutls_psk_allocate_server_credentials(&credentials))
    try check(gnutls_psk_set_server_credentials_file(credentials, keys))
    try check(gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials.map { UnsafeMutableRawPointer($0) }))
    gnutls_transport_set_int2(session, socket, socket)
    while true {
      let code = gnutls_handshake(session)
      if code == GNUTLS_E_SUCCESS { return }
      guard gnutls_error_is_fatal(code) != 0 else { continue }
      _ = gnutls_alert_send_appropriate(session, code)
      throw Failure(code: code)
    }
  }

  deinit {
    if let session { gnutls_deinit(session) }
    if let credentials { gnutls_psk_free_server_credentials(credentials) }
  }

  @discardableResult
  private func check(_ code: Int32) throws -> Int32 {
    guard code >= 0 else { throw Failure(code: code) }
    return code
  }

  // MARK: In the clear

  private func sendClear(_ bytes: [UInt8]) throws {
    guard Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { throw Failure(code: GNUTLS_E_PUSH_ERROR) }
  }

  private func receiveClear(_ count: Int) throws {
    var bytes = [UInt8](repeating: 0, count: count)
    guard recv(socket, &bytes, count, Int32(MSG_WAITALL)) == count else { throw Failure(code: GNUTLS_E_PULL_ERROR) }
  }

  // MARK: Encrypted

  func send(_ bytes: [UInt8]) throws {
    var position = 0
    while position < bytes.count {
      let count = bytes.withUnsafeBytes { gnutls_record_send(session, $0.baseAddress! + position, bytes.count - position) }
      position += Int(try check(Int32(count)))
    }
  }

  /// Exactly `count` bytes; nil where the client has ended TLS before.
  func receive(_ count: Int) throws -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var position = 0
    while position < count {
      let got = bytes.withUnsafeMutableBytes { gnutls_record_recv(session, $0.baseAddress! + position, count - position) }
      if got == 0 { return nil }
      position += Int(try check(Int32(got)))
    }
    return bytes
  }

  /// Ends TLS (`close_notify`), and leaves the connection.
  func end() { _ = gnutls_bye(session, GNUTLS_SHUT_WR) }

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
