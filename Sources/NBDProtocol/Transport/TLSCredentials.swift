import CGnuTLS
import Glibc

/// What is needed to begin TLS with one server: the policy, the credentials, which are read here, and the name to verify.
///
/// GnuTLS only reads credentials once they are made, so that the sessions of any number of threads share them.
package final class TLSCredentials: @unchecked Sendable {
  enum Kind {
    case certificates(gnutls_certificate_credentials_t)
    case preSharedKey(gnutls_psk_client_credentials_t)
  }

  package let policy: TLSPolicy
  let kind: Kind
  /// The certificate is verified: the chain, and that it has ``name``.
  let verifies: Bool
  /// Owned. GnuTLS refers to it for as long as a session lives. Nil where no name is known.
  let name: UnsafeMutablePointer<CChar>?
  /// What the certificate is verified to be: that of a server, of that name. Owned, two of them. Nil where nothing is verified.
  let expected: UnsafeMutablePointer<gnutls_typed_vdata_st>?
  /// ``name`` may be told to the server (*Server Name Indication*, which knows no addresses).
  let isHostName: Bool

  /// - Throws: ``NBDError/insecure(_:)`` for files that are no good and for a name that is missing;
  ///   ``NBDError/unsupported(_:)``; ``NBDError/system(_:doing:)``.
  package init(_ configuration: TLSConfiguration, for address: ServerAddress) throws(NBDError) {
    policy = configuration.policy
    let file = configuration.preSharedKeyFile
    let usesKey: Bool
    switch configuration.authentication {
    case .anonymous: throw .unsupported("TLS without authentication (tls-type=anon) protects from nobody who is on the way")
    case .certificates: usesKey = false
    case .preSharedKey: usesKey = true
    case nil: usesKey = file != nil
    }
    let name = configuration.hostname ?? address.host
    isHostName = name.map { !Self.isAddress($0) } ?? false
    verifies = !usesKey && configuration.verifiesPeer ?? true
    if usesKey {
      guard let file else { throw .insecure("TLS with a pre-shared key needs a file that has it (tls-psk-file)") }
      kind = .preSharedKey(try Self.key(of: configuration.username ?? TLSFiles.username, in: file))
    } else {
      if verifies, name == nil {
        throw .insecure(
          "\(address) has no host name for the server's certificate: give one (tls-hostname), or believe any (tls-verify-peer=0)"
        )
      }
      kind = .certificates(try Self.certificates(in: configuration.certificates))
    }
    self.name = name.map { strdup($0) }
    expected = verifies ? Self.expectation(self.name) : nil
  }

  private static func expectation(_ name: UnsafeMutablePointer<CChar>?) -> UnsafeMutablePointer<gnutls_typed_vdata_st> {
    let expected = UnsafeMutablePointer<gnutls_typed_vdata_st>.allocate(capacity: 2)
    let purpose = strdup(GNUTLS_KP_TLS_WWW_SERVER)
    for (index, (type, text)) in [(GNUTLS_DT_DNS_HOSTNAME, name), (GNUTLS_DT_KEY_PURPOSE_OID, purpose)].enumerated() {
      let bytes = UnsafeMutableRawPointer(text)?.assumingMemoryBound(to: UInt8.self)
      (expected + index).initialize(to: gnutls_typed_vdata_st(type: type, data: bytes, size: UInt32(text.map { strlen($0) } ?? 0)))
    }
    return expected
  }

  deinit {
    free(name)
    if let expected {
      free(expected[1].data)
      expected.deallocate()
    }
    switch kind {
    case .certificates(let credentials): gnutls_certificate_free_credentials(credentials)
    case .preSharedKey(let credentials): gnutls_psk_free_client_credentials(credentials)
    }
  }

  private static func isAddress(_ host: String) -> Bool {
    var binary = in6_addr()
    return host.contains(":") || inet_pton(AF_INET, host, &binary) == 1
  }

  // MARK: Files

  private static func key(of username: String, in path: String) throws(NBDError) -> gnutls_psk_client_credentials_t {
    let key = try TLSFiles.preSharedKey(of: username, in: path)
    var made: gnutls_psk_client_credentials_t?
    try check(gnutls_psk_allocate_client_credentials(&made), "making credentials")
    guard let made else { throw .insecure("TLS: no credentials") }
    var datum = key.datum
    do throws(NBDError) {
      try check(gnutls_psk_set_client_credentials(made, username, &datum, GNUTLS_PSK_KEY_HEX), "the key in \(printable(path))")
    } catch {
      gnutls_psk_free_client_credentials(made)
      throw error
    }
    return made
  }

  private static func certificates(in folder: String?) throws(NBDError) -> gnutls_certificate_credentials_t {
    var made: gnutls_certificate_credentials_t?
    try check(gnutls_certificate_allocate_credentials(&made), "making credentials")
    guard let made else { throw .insecure("TLS: no credentials") }
    do throws(NBDError) {
      if let found = folder ?? TLSFiles.folders().first(where: { TLSFiles.exists("\($0)/ca-cert.pem") }) {
        try load(found, into: made)
      } else if try check(gnutls_certificate_set_x509_system_trust(made), "the system's certificate authorities") == 0 {
        throw .insecure("no certificate authority is known: give a folder with ca-cert.pem (tls-certificates)")
      }
    } catch {
      gnutls_certificate_free_credentials(made)
      throw error
    }
    return made
  }

  private static func load(_ folder: String, into credentials: gnutls_certificate_credentials_t) throws(NBDError) {
    let authority = "\(folder)/ca-cert.pem"
    try TLSFiles.check(folder: folder)
    let trusted = try TLSFiles.read(authority, as: .authority)
    var datum = trusted.datum
    guard try check(gnutls_certificate_set_x509_trust_mem(credentials, &datum, GNUTLS_X509_FMT_PEM), authority) > 0 else {
      throw .insecure("\(printable(authority)) has no certificate")
    }
    let revoked = "\(folder)/ca-crl.pem"
    if TLSFiles.exists(revoked) {
      let list = try TLSFiles.read(revoked, as: .authority)
      datum = list.datum
      guard try check(gnutls_certificate_set_x509_crl_mem(credentials, &datum, GNUTLS_X509_FMT_PEM), revoked) > 0 else {
        throw .insecure("\(printable(revoked)) has no list of revoked certificates")
      }
    }
    let certificate = "\(folder)/client-cert.pem"
    let key = "\(folder)/client-key.pem"
    switch (TLSFiles.exists(certificate), TLSFiles.exists(key)) {
    case (false, false): break
    case (true, false): throw .insecure("\(printable(key)) is missing beside \(printable(certificate))")
    case (false, true): throw .insecure("\(printable(certificate)) is missing beside \(printable(key))")
    case (true, true):
      let secret = try TLSFiles.read(key, as: .secret)
      let public_ = try TLSFiles.read(certificate, as: .other)
      var first = public_.datum
      datum = secret.datum
      try check(
        gnutls_certificate_set_x509_key_mem2(credentials, &first, &datum, GNUTLS_X509_FMT_PEM, nil, 0), "\(certificate), \(key)")
    }
  }

  @discardableResult
  private static func check(_ code: Int32, _ what: String) throws(NBDError) -> Int32 {
    guard code >= 0 else { throw .insecure("TLS: \(printable(what)): \(String(cString: gnutls_strerror(code)))") }
    return code
  }
}

extension ServerAddress {
  /// The name that a certificate of the server there has to have.
  var host: String? { if case .tcp(let host, _) = self { host } else { nil } }
}
