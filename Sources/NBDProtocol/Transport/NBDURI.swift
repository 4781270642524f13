/// An NBD URI (`doc/uri.md`): a server and one of its exports.
///
/// What the specification leaves to the client:
/// - A missing host means `localhost`, for `vsock` the host of this virtual machine (2); a missing or empty port
///   10809. A host or port in a `unix` URI is an error: most likely the path of the socket was put there.
/// - Unknown and repeated parameters, a fragment, and TLS parameters or a user name without a TLS scheme are
///   errors that name the part. Ignoring one could connect to another export, or in clear text.
/// - Only `&` separates parameters, `+` is a plus, and names are decoded once.
///
/// Libraries can split URIs, too: FoundationEssentials' `URL` was not used because it does not keep the bytes of a
/// socket's path that are not UTF-8, cannot say which part is wrong, and makes a static binary 15 MB larger.
public struct NBDURI: Hashable, Sendable {
  /// ``ServerAddress/tcp(host:port:)``, ``ServerAddress/unix(path:)`` or ``ServerAddress/vsock(cid:port:)``.
  public let address: ServerAddress
  /// Decoded; at most ``Limits/string`` bytes of UTF-8 without NUL. Empty is the server's default export.
  public let exportName: String
  public let tls: TLS

  /// Whether TLS must be used. The `nbd` schemes never use it here; "opportunistic" protects from nobody.
  public enum TLS: Hashable, Sendable {
    case none
    case required(TLSParameters)
  }

  /// What a URI can say about TLS. Files are named here, never read; a URI holds no secrets.
  public struct TLSParameters: Hashable, Sendable {
    /// `tls-type`: how the two sides authenticate.
    public enum Authentication: String, Hashable, Sendable {
      case anonymous = "anon"
      case certificates = "x509"
      case preSharedKey = "psk"
    }
    /// `nil` where the URI leaves it open.
    public var authentication: Authentication?
    /// `tls-hostname`: the name to verify instead of the address's host.
    public var hostname: String?
    /// `tls-verify-peer`: false only where the URI says 0.
    public var verifiesPeer = true
    /// The user of the authority field, for `psk`. Where there is none, the local user's name is meant.
    public var username: String?
    /// `tls-certificates`: a directory.
    public var certificates: String?
    /// `tls-psk-file`: a file of pre-shared keys.
    public var preSharedKeyFile: String?

    public init() {}
  }

  /// Longest URI in bytes: room for the longest export name and three paths, every byte percent-encoded.
  public static let longest = 64 * 1024

  /// The URI of an export, `nil` where the address has none (an inherited descriptor, a command) or the name is not one.
  public init?(address: ServerAddress, exportName: String, tls: TLS = .none) {
    switch address {
    case .tcp, .unix, .vsock: break
    case .descriptor, .command, .socketActivation: return nil
    }
    guard exportName.utf8.count <= Limits.string, !exportName.utf8.contains(0) else { return nil }
    self.address = address
    self.exportName = exportName
    self.tls = tls
  }
}

extension NBDURI: CustomStringConvertible {
  /// The canonical form: port and path always there, parameters in a fixed order, and only what must be
  /// percent-encoded is. Reading it gives an equal value.
  public var description: String {
    var scheme = "nbd"
    var user = ""
    var parameters: [String] = []
    func add(_ name: String, _ value: some Sequence<UInt8>) {
      parameters.append(name + "=" + percentEncoded(value, except: .parameterValue))
    }
    if case .unix(let path) = address { add("socket", path) }
    if case .required(let tls) = tls {
      scheme = "nbds"
      user = tls.username.map { percentEncoded($0.utf8, except: .registeredName) + "@" } ?? ""
      if let authentication = tls.authentication { add("tls-type", authentication.rawValue.utf8) }
      if let hostname = tls.hostname { add("tls-hostname", hostname.utf8) }
      if !tls.verifiesPeer { add("tls-verify-peer", "0".utf8) }
      if let certificates = tls.certificates { add("tls-certificates", certificates.utf8) }
      if let file = tls.preSharedKeyFile { add("tls-psk-file", file.utf8) }
    }
    let authority: String
    switch address {
    case .tcp(let host, let port):
      let isLiteral = host.utf8.contains(UInt8(ascii: ":"))
      let encoded = percentEncoded(host.utf8, except: isLiteral ? .literalAddress : .registeredName)
      authority = isLiteral ? "[\(encoded)]:\(port)" : "\(encoded):\(port)"
    case .vsock(let cid, let port):
      scheme += "+vsock"
      authority = "\(cid):\(port)"
    case .unix:
      scheme += "+unix"
      authority = ""
    case .descriptor, .command, .socketActivation:
      authority = ""  // no initializer lets them in
    }
    let query = parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&")
    return "\(scheme)://\(user)\(authority)/\(percentEncoded(exportName.utf8, except: .path))\(query)"
  }
}
