import CGnuTLS

/// The server's side of TLS on a connected socket that blocks, by a key that both sides have. For one thread. It shares no code with
/// the library but GnuTLS.
public final class TLSServerSession {
  /// What GnuTLS says of a failure.
  public struct Failure: Error, CustomStringConvertible {
    public let code: Int32
    public init(code: Int32) { self.code = code }
    public var description: String { String(cString: gnutls_strerror(code)) }
  }

  private let session: gnutls_session_t

  /// Shakes hands.
  ///
  /// - Parameters:
  ///   - socket: which outlives the session, as do the credentials.
  ///   - versions: those that are taken, as GnuTLS writes them.
  /// - Throws: ``Failure`` where the two sides do not agree, of which the client has been told.
  public init(_ socket: Int32, _ credentials: gnutls_psk_server_credentials_t, versions: String) throws {
    var made: gnutls_session_t?
    // Without the last flag a client that has gone ends this process.
    let code = gnutls_init(&made, UInt32(GNUTLS_SERVER.rawValue | GNUTLS_NO_SIGNAL.rawValue))
    guard code >= 0, let made else { throw Failure(code: code) }
    session = made
    gnutls_transport_set_int2(made, socket, socket)
    try Self.check(gnutls_priority_set_direct(made, "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:-VERS-ALL:\(versions)", nil))
    try Self.check(gnutls_credentials_set(made, GNUTLS_CRD_PSK, UnsafeMutableRawPointer(credentials)))
    while true {
      let code = gnutls_handshake(made)
      if code == GNUTLS_E_SUCCESS { return }
      guard gnutls_error_is_fatal(code) != 0 else { continue }
      _ = gnutls_alert_send_appropriate(made, code)
      throw Failure(code: code)
    }
  }

  deinit { gnutls_deinit(session) }

  public static func check(_ code: Int32) throws { if code < 0 { throw Failure(code: code) } }

  /// - Throws: ``Failure`` where the client has gone.
  public func send(_ bytes: [UInt8]) throws {
    var position = 0
    while position < bytes.count {
      let count = bytes.withUnsafeBytes { gnutls_record_send(session, $0.baseAddress! + position, $0.count - position) }
      if count > 0 { position += count } else { try checkFatal(count) }
    }
  }

  /// At least one byte, and at most as many as there is room for; 0 where the client has ended TLS.
  ///
  /// - Throws: ``Failure`` where the connection ends without that.
  public func receive(_ place: UnsafeMutableRawBufferPointer) throws -> Int {
    while true {
      let count = gnutls_record_recv(session, place.baseAddress, place.count)
      if count >= 0 { return count }
      try checkFatal(count)
    }
  }

  private func checkFatal(_ code: Int) throws {
    let code = Int32(truncatingIfNeeded: code)
    if gnutls_error_is_fatal(code) != 0 { throw Failure(code: code) }
  }

  /// Bytes wait here that the socket does not tell of.
  public var hasPending: Bool { gnutls_record_check_pending(session) > 0 }

  /// Says that nothing more comes (`close_notify`), and leaves the connection.
  public func end() { _ = gnutls_bye(session, GNUTLS_SHUT_WR) }
}
