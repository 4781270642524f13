import Foundation
import Glibc

/// Certificates and keys for tests of TLS, made by certtool. Each folder has the names that libnbd, nbdkit and qemu-nbd look for.
public struct Certificates: Sendable {
  /// What is to be wrong with the server's certificate.
  public enum Server: String, CaseIterable, Sendable {
    case good, wrongName, expired, selfSigned, ofAClient
  }

  private let directory: TemporaryDirectory

  /// What a client trusts: `ca-cert.pem`, and nothing of its own.
  public var trusting: String { directory / "trust" }
  /// The same, with a certificate of the client's own.
  public var client: String { directory / "client" }
  /// Another authority, which has certified nobody.
  public var others: String { directory / "others" }
  public func server(_ kind: Server) -> String { directory / "server-\(kind.rawValue)" }

  /// The keys of a user `alice`: those of the server, and in ``wrongKeys`` another key of the same name.
  public var keys: String { directory / "keys/keys.psk" }
  public var wrongKeys: String { directory / "wrong.psk" }

  /// Makes all of them.
  public init(in directory: TemporaryDirectory) async throws {
    self.directory = directory
    for name in ["trust", "client", "others", "keys"] { _ = try directory.subdirectory(name) }
    try await authority("ca", name: "Test authority")
    try await authority("other", name: "Other authority")
    try copy("ca-cert.pem", "trust/ca-cert.pem")
    try copy("ca-cert.pem", "client/ca-cert.pem")
    try copy("other-cert.pem", "others/ca-cert.pem")
    let valid = ["expiration_days = 30"]
    let past = ["activation_date = \"2020-01-01 00:00:00\"", "expiration_date = \"2020-02-01 00:00:00\""]
    let local = ["dns_name = localhost", "ip_address = 127.0.0.1"]
    for kind in Server.allCases {
      let folder = "server-\(kind.rawValue)"
      _ = try directory.subdirectory(folder)
      try copy("ca-cert.pem", "\(folder)/ca-cert.pem")
      let names = kind == .wrongName ? ["dns_name = elsewhere.example"] : local
      try await certificate(
        "\(folder)/server", signed: kind != .selfSigned,
        ["cn = server", kind == .ofAClient ? "tls_www_client" : "tls_www_server", "signing_key", "encryption_key"] + names + (kind == .expired ? past : valid))
    }
    try await certificate("client/client", signed: true, ["cn = client", "tls_www_client", "signing_key"] + valid)
    try write("keys/keys.psk", "bob:00112233445566778899aabbccddeeff\nalice:0123456789abcdef0123456789abcdef\n")
    try write("wrong.psk", "alice:ffffffffffffffffffffffffffffffff\n")
  }

  private func authority(_ name: String, name common: String) async throws {
    try await key("\(name)-key.pem")
    try write("\(name).info", "cn = \(common)\nca\ncert_signing_key\nexpiration_days = 30\n")
    try await succeed([
      "certtool", "--generate-self-signed", "--load-privkey", directory / "\(name)-key.pem",
      "--template", directory / "\(name).info", "--outfile", directory / "\(name)-cert.pem",
    ])
  }

  private func certificate(_ name: String, signed: Bool, _ lines: [String]) async throws {
    try await key("\(name)-key.pem")
    try write("\(name).info", lines.joined(separator: "\n") + "\n")
    let by = ["--load-ca-certificate", directory / "ca-cert.pem", "--load-ca-privkey", directory / "ca-key.pem"]
    try await succeed(
      ["certtool", signed ? "--generate-certificate" : "--generate-self-signed", "--load-privkey", directory / "\(name)-key.pem"]
        + (signed ? by : []) + ["--template", directory / "\(name).info", "--outfile", directory / "\(name)-cert.pem"])
  }

  private func key(_ name: String) async throws {
    try await succeed([
      "certtool", "--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1", "--outfile", directory / name,
    ])
    chmod(directory / name, 0o600)
  }

  private func copy(_ from: String, _ to: String) throws {
    try FileManager.default.copyItem(atPath: directory / from, toPath: directory / to)
    // Whatever the umask: others must not write it.
    chmod(directory / to, 0o644)
  }

  private func write(_ name: String, _ text: String) throws {
    try text.write(toFile: directory / name, atomically: false, encoding: .utf8)
    chmod(directory / name, 0o600)
  }
}

/// A server that speaks TLS and nothing else.
public enum TLSServer: String, CaseIterable, Sendable {
  case nbdkit, qemuNBD = "qemu-nbd", nbdServer = "nbd-server"

  /// nbd-server knows certificates only.
  public var knowsKeys: Bool { self != .nbdServer }

  /// Serving `image`, and known by the certificate of `folder`.
  ///
  /// - Parameter asksClient: the client has to show a certificate, too.
  public func kind(image: String, certificates folder: String, asksClient: Bool = false) -> ServerKind {
    switch self {
    case .nbdkit:
      .nbdkit(["--tls=require", "--tls-certificates=\(folder)"] + (asksClient ? ["--tls-verify-peer"] : []) + ["file", image])
    case .qemuNBD:
      // It would not start with a certificate that has expired.
      .qemuNBD([
        "--object", "tls-creds-x509,id=t,endpoint=server,dir=\(folder),verify-peer=\(asksClient ? "yes" : "no"),sanity-check=no",
        "--tls-creds", "t", "-f", "raw", image,
      ])
    case .nbdServer:
      .nbdServer(
        image: image,
        generic: [
          "certfile = \(folder)/server-cert.pem", "keyfile = \(folder)/server-key.pem", "cacertfile = \(folder)/ca-cert.pem",
          "force_tls = true",
        ])
    }
  }

  /// Serving `image` to those who have a key of `file`, whose name is `keys.psk`.
  public func kind(image: String, keys file: String) -> ServerKind {
    switch self {
    case .nbdkit, .nbdServer: .nbdkit(["--tls=require", "--tls-psk=\(file)", "file", image])
    case .qemuNBD:
      .qemuNBD([
        "--object", "tls-creds-psk,id=t,endpoint=server,dir=\((file as NSString).deletingLastPathComponent)", "--tls-creds", "t",
        "-f", "raw", image,
      ])
    }
  }

  /// The same without TLS.
  public func plainKind(image: String) -> ServerKind {
    switch self {
    case .nbdkit: .nbdkit(["file", image])
    case .qemuNBD: .qemuNBD(["-f", "raw", image])
    case .nbdServer: .nbdServer(image: image)
    }
  }

  /// What the export is called there.
  public var exportName: String { self == .nbdServer ? "disk" : "" }
}
