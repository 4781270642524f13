import ArgumentParser
import NBDProtocol

/// The options about TLS, which are nbdinfo's URI parameters as options.
struct TLSArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Encrypt: off, allow or require.", valueName: "POLICY"))
  var tls: TLSPolicy?

  @Option(help: ArgumentHelp("Folder with ca-cert.pem and the client's own.", valueName: "DIR"), completion: .directory)
  var tlsCertificates: String?

  @Option(help: ArgumentHelp("File with USERNAME:KEY lines.", valueName: "FILE"), completion: .file())
  var tlsPskFile: String?

  @Option(help: ArgumentHelp("Whose key; the local user's.", valueName: "NAME"))
  var tlsUsername: String?

  @Option(help: ArgumentHelp("Name in the server's certificate; the host.", valueName: "NAME"))
  var tlsHostname: String?

  @Option(help: ArgumentHelp("0 believes any certificate.", valueName: "0|1"))
  var tlsVerifyPeer: Int?

  @Flag(help: "Read the files that a URI names.")
  var tlsFilesFromUri = false

  /// They are for a server that is encrypted: who says where a key is wants it used.
  func options() throws(UsageError) -> TLSOptions {
    guard tlsVerifyPeer.map((0...1).contains) ?? true else { throw UsageError("--tls-verify-peer must be 0 or 1") }
    for (name, value) in [
      ("certificates", tlsCertificates), ("psk-file", tlsPskFile), ("username", tlsUsername), ("hostname", tlsHostname),
    ] where value?.isEmpty == true || value?.utf8.contains(0) == true {
      throw UsageError("--tls-\(name) is empty")
    }
    guard tlsCertificates == nil || tlsPskFile == nil else {
      throw UsageError("--tls-certificates does not go with --tls-psk-file: a server is known by one of them")
    }
    var all = TLSConfiguration(policy: tls ?? .require)
    all.certificates = tlsCertificates
    all.preSharedKeyFile = tlsPskFile
    all.username = tlsUsername
    all.hostname = tlsHostname
    all.verifiesPeer = tlsVerifyPeer.map { $0 == 1 }
    if tlsCertificates != nil { all.authentication = .certificates }
    if tls == .off, !all.isPlain { throw UsageError("--tls off does not go with other options about TLS") }
    return TLSOptions(configuration: tls == nil && all.isPlain ? nil : all, usesFilesOfURI: tlsFilesFromUri)
  }
}

extension TLSPolicy: ExpressibleByArgument {}
