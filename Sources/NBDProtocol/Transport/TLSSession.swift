import CGnuTLS
import Glibc
import SystemPackage

/// TLS over a connected socket, as its client (RFC 8446, RFC 5246). Nothing blocks but ``start(_:credentials:versions:until:)``.
///
/// Used by one thread at a time, which is the one that has the ``Channel``: sessions of GnuTLS want no more, and the channel cannot
/// be copied.
final class TLSSession: @unchecked Sendable {
  /// Messages of TLS itself that may come before the next byte of data.
  static let idleMessages = 1000

  let session: gnutls_session_t
  let stream: UnsafeMutablePointer<TLSStream>
  /// GnuTLS refers to them.
  private let credentials: TLSCredentials
  /// Small pieces of data become one record here.
  let staging = UnsafeMutableRawPointer.allocate(byteCount: TLSStream.record, alignment: 64)
  /// Most bytes of data in a record that is sent: the server may want fewer.
  let recordSize: Int
  /// Why nothing more can be received, or sent.
  var end: End?
  /// Why nothing more can be sent. What the server said before it hung up is still worth reading.
  var sendEnd: End?
  /// What the session agreed on, such as `TLS1.3, AES-256-GCM`.
  let description: String

  /// How a session ended.
  struct End {
    var result: Channel.Result
    /// For a person.
    var reason: String
    var isTold = false
  }

  private init(
    _ session: gnutls_session_t, _ stream: UnsafeMutablePointer<TLSStream>, _ credentials: TLSCredentials
  ) {
    self.session = session
    self.stream = stream
    self.credentials = credentials
    recordSize = min(16_384, max(Int(gnutls_record_get_max_size(session)), 64))
    let version = gnutls_protocol_get_name(gnutls_protocol_get_version(session)).map { String(cString: $0) } ?? "TLS"
    let cipher = gnutls_cipher_get_name(gnutls_cipher_get(session)).map { String(cString: $0) } ?? "an unknown cipher"
    description = "\(version), \(cipher)"
  }

  deinit {
    gnutls_deinit(session)
    stream.pointee.deallocate()
    stream.deinitialize(count: 1)
    stream.deallocate()
    staging.deallocate()
  }

  // MARK: The handshake

  /// Begins TLS, and returns when the server is known to be who it should be. Blocks.
  ///
  /// - Parameters:
  ///   - socket: which outlives the session.
  ///   - versions: what is offered. Data belong into the current ones only.
  /// - Throws: ``NBDError/insecure(_:)`` for a server that is not who it should be, or with which no agreement is possible;
  ///   ``NBDError/timedOut(_:)``; ``NBDError/disconnected(_:)``.
  static func start(
    _ socket: Int32, credentials: TLSCredentials, versions: TLSVersions = .current, until deadline: Deadline
  ) throws(NBDError) -> TLSSession {
    var made: gnutls_session_t?
    let code = gnutls_init(&made, UInt32(GNUTLS_CLIENT.rawValue | GNUTLS_NONBLOCK.rawValue | GNUTLS_NO_SIGNAL.rawValue))
    guard code >= 0, let session = made else { throw failed(code) }
    let stream = UnsafeMutablePointer<TLSStream>.allocate(capacity: 1)
    stream.initialize(to: TLSStream(socket: socket, session: session))
    do throws(NBDError) {
      try prepare(session, stream, credentials, versions)
      try shakeHands(session, stream, until: deadline)
      try check(session, credentials, versions)
    } catch {
      gnutls_deinit(session)
      stream.pointee.deallocate()
      stream.deallocate()
      throw error
    }
    return TLSSession(session, stream, credentials)
  }

  private static func prepare(
    _ session: gnutls_session_t, _ stream: UnsafeMutablePointer<TLSStream>, _ credentials: TLSCredentials, _ versions: TLSVersions
  ) throws(NBDError) {
    gnutls_transport_set_ptr(session, stream)
    gnutls_transport_set_push_function(session) { $0?.assumingMemoryBound(to: TLSStream.self).pointee.push($1, $2) ?? -1 }
    gnutls_transport_set_pull_function(session) { $0?.assumingMemoryBound(to: TLSStream.self).pointee.pull($1, $2) ?? -1 }
    let code: Int32
    switch credentials.kind {
    case .certificates(let certificates):
      try succeed(gnutls_priority_set_direct(session, versions.priorities, nil))
      code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(certificates))
      if let name = credentials.name, credentials.isHostName {
        try succeed(gnutls_server_name_set(session, GNUTLS_NAME_DNS, name, strlen(name)))
      }
      if let expected = credentials.expected { gnutls_session_set_verify_cert2(session, expected, 2, 0) }
    case .preSharedKey(let key):
      try succeed(gnutls_priority_set_direct(session, versions.priorities + ":-KX-ALL:+ECDHE-PSK:+DHE-PSK", nil))
      code = gnutls_credentials_set(session, GNUTLS_CRD_PSK, UnsafeMutableRawPointer(key))
    }
    try succeed(code)
  }

  private static func shakeHands(
    _ session: gnutls_session_t, _ stream: UnsafeMutablePointer<TLSStream>, until deadline: Deadline
  ) throws(NBDError) {
    while true {
      let code = gnutls_handshake(session)
      if code < 0, code != GNUTLS_E_AGAIN { _ = gnutls_alert_send_appropriate(session, code) }
      stream.pointee.flush()
      if let error = stream.pointee.failure { throw .disconnected("the connection broke during the TLS handshake: \(error)") }
      // Asked first: a server that keeps talking would be listened to for ever.
      guard !deadline.hasPassed else { throw .timedOut("the server did not finish the TLS handshake in time") }
      switch code {
      // What the socket has no room for yet goes with the first data.
      case GNUTLS_E_SUCCESS: return
      case GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED:
        if stream.pointee.isShortOfMemory {
          stream.pointee.isShortOfMemory = false
          usleep(Channel.memoryNap)
          continue
        }
        let descriptor = stream.pointee.socket
        let events = POLLIN | (stream.pointee.hasUnsent ? POLLOUT : 0)
        _ = try doing("the TLS handshake") { () throws(Errno) in
          try Syscall.poll(descriptor, for: Int32(events), until: deadline)
        }
      case GNUTLS_E_WARNING_ALERT_RECEIVED: continue
      case GNUTLS_E_PREMATURE_TERMINATION where stream.pointee.isAtEnd:
        throw .disconnected("the server closed the connection during the TLS handshake")
      default: throw failed(code, session)
      }
    }
  }

  /// What was agreed on is what was asked for: GnuTLS has seen to it, and this is where it would show if it had not.
  private static func check(
    _ session: gnutls_session_t, _ credentials: TLSCredentials, _ versions: TLSVersions
  ) throws(NBDError) {
    let version = gnutls_protocol_get_version(session)
    guard version == GNUTLS_TLS1_2 || version == GNUTLS_TLS1_3 || versions.hasOld else {
      throw .insecure("the server speaks an old TLS")
    }
    let expected =
      switch credentials.kind {
      case .certificates: GNUTLS_CRD_CERTIFICATE
      case .preSharedKey: GNUTLS_CRD_PSK
      }
    guard gnutls_auth_get_type(session) == expected, gnutls_auth_server_get_type(session) == expected else {
      throw .insecure("the server has shown another kind of credentials than was asked for")
    }
  }

  private static func succeed(_ code: Int32) throws(NBDError) { if code < 0 { throw failed(code) } }

  /// What GnuTLS says about a failure, and the server where it has said why.
  static func reason(_ code: Int32, _ session: gnutls_session_t?) -> String {
    let text = String(cString: gnutls_strerror(code))
    guard code == GNUTLS_E_FATAL_ALERT_RECEIVED || code == GNUTLS_E_WARNING_ALERT_RECEIVED, let session,
      let alert = gnutls_alert_get_name(gnutls_alert_get(session))
    else { return text }
    return "the server says: \(String(cString: alert))"
  }

  private static func failed(_ code: Int32, _ session: gnutls_session_t? = nil) -> NBDError {
    guard code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, let session else { return .insecure("TLS: \(reason(code, session))") }
    var text = gnutls_datum_t()
    let status = gnutls_session_get_verify_cert_status(session)
    guard gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) >= 0, let data = text.data else {
      return .insecure("TLS: \(reason(code, session))")
    }
    defer { cgnutls_free(&text) }
    let words = String(decoding: UnsafeBufferPointer(start: data, count: Int(text.size)), as: UTF8.self)
    return .insecure("the server is not who it should be: \(printable(words.split(separator: " ").joined(separator: " ")))")
  }
}
