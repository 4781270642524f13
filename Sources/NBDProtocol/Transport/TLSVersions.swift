import CGnuTLS

/// Which versions of TLS are offered to a server, and with which ciphers.
package enum TLSVersions: Sendable {
  /// 1.2 and 1.3: what data go over.
  case current
  /// One of them and no other.
  case only12, only13
  /// 1.0 and 1.1, which nobody should take any more (RFC 8996), and no other: to see who does.
  case old
  /// 1.0 to 1.3, of which the server chooses.
  case every

  /// For GnuTLS (*Priority strings* in its manual).
  var priorities: String {
    switch self {
    case .current: Self.strict("+VERS-TLS1.3:+VERS-TLS1.2")
    case .only12: Self.strict("+VERS-TLS1.2")
    case .only13: Self.strict("+VERS-TLS1.3")
    case .old: "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0"
    case .every: "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1:+VERS-TLS1.0"
    }
  }

  /// No key exchange whose recording can be decrypted by who gets hold of the key later, and only ciphers that authenticate what
  /// they encrypt; first those that processors have instructions for.
  private static func strict(_ versions: String) -> String {
    "NORMAL:-VERS-ALL:\(versions):-RSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305"
  }

  /// A version before 1.2 is among them, so that it may be agreed on.
  var hasOld: Bool {
    switch self {
    case .old, .every: true
    case .current, .only12, .only13: false
    }
  }

  /// GnuTLS has them all: it can be built without old versions, and a system can switch them off.
  package var canBeOffered: Bool {
    var made: gnutls_priority_t?
    guard gnutls_priority_init(&made, priorities, nil) >= 0, let made else { return false }
    defer { gnutls_priority_deinit(made) }
    var list: UnsafePointer<UInt32>?
    let count = gnutls_priority_protocol_list(made, &list)
    let versions = UnsafeBufferPointer(start: list, count: max(0, Int(count)))
    return !versions.isEmpty && (!hasOld || versions.contains(GNUTLS_TLS1_1.rawValue))
  }
}
