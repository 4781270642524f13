import Glibc

/// How connections are encrypted, and who is believed to be the server: what a person or a URI says about it.
///
/// The files are read when a ``ServerEndpoint`` is made with it, and not again. The names are those of libnbd.
public struct TLSConfiguration: Hashable, Sendable {
  public var policy: TLSPolicy
  /// By certificates or by a key that both sides have; nil is by the key where ``preSharedKeyFile`` is there. Anonymous is an
  /// error: it protects from nobody who can put himself between.
  public var authentication: NBDURI.TLSParameters.Authentication?
  /// A folder with `ca-cert.pem`, and where the server wants to know the client, `client-cert.pem` and `client-key.pem`;
  /// `ca-crl.pem` may be there. Nil is the first of libnbd's folders that there is (`/etc/pki/libnbd` for root, else
  /// `~/.pki/libnbd` and `~/.config/pki/libnbd`), or the authorities that the system trusts.
  public var certificates: String?
  /// A file with lines of `USERNAME:KEY`, the key in hexadecimal digits.
  public var preSharedKeyFile: String?
  /// Which line of it; nil is the local user's name.
  public var username: String?
  /// The name that the certificate must have; nil is the host of the address. An address without a host needs one.
  public var hostname: String?
  /// Nil is true. False believes any certificate, and so protects from listeners only.
  public var verifiesPeer: Bool?

  public init(policy: TLSPolicy = .require) { self.policy = policy }

  /// Nothing is said but how strict to be.
  public var isPlain: Bool { self == TLSConfiguration(policy: policy) }
}

extension NBDURI {
  /// How to connect to what the URI names, where `given` is what a person has said besides, and goes before it: a URI may come from
  /// anywhere.
  ///
  /// - Parameter usesFiles: the files that the URI names may be read.
  /// - Throws: ``NBDError/invalidArgument(_:)`` where it requires TLS and `given` forbids it, and where it names files that are
  ///   neither to be read nor replaced by `given`.
  public func tlsConfiguration(_ given: TLSConfiguration? = nil, usesFiles: Bool = false) throws(NBDError) -> TLSConfiguration? {
    guard case .required(let parameters) = tls else { return given }
    var all = given ?? TLSConfiguration()
    guard all.policy != .off else { throw .invalidArgument("the URI requires TLS (nbds), which is switched off") }
    // A URI cannot be weakened.
    all.policy = .require
    // Who has said by what the server is known, has said how.
    if all.authentication == nil, all.preSharedKeyFile != nil { all.authentication = .preSharedKey }
    if all.authentication == nil, all.certificates != nil { all.authentication = .certificates }
    let isPeerKnown = all.certificates != nil || all.hostname != nil
    all.authentication = all.authentication ?? parameters.authentication
    all.username = all.username ?? parameters.username
    all.hostname = all.hostname ?? parameters.hostname
    if all.verifiesPeer == nil, !parameters.verifiesPeer, !isPeerKnown { all.verifiesPeer = false }
    all.certificates = try Self.file(
      all.certificates, or: parameters.certificates, named: "tls-certificates", isAllowed: usesFiles)
    all.preSharedKeyFile = try Self.file(
      all.preSharedKeyFile, or: parameters.preSharedKeyFile, named: "tls-psk-file", isAllowed: usesFiles)
    return all
  }

  private static func file(
    _ given: String?, or ofURI: String?, named name: String, isAllowed: Bool
  ) throws(NBDError) -> String? {
    guard given == nil, let ofURI else { return given }
    guard isAllowed else {
      throw .invalidArgument(
        "NBD URI: the parameter \(name) names a file of this machine: it is used with --tls-files-from-uri, or give --\(name)")
    }
    return ofURI
  }
}
