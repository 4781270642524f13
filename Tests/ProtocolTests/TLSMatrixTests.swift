import TestSupport
import Testing

@testable import NBDProtocol

/// TLS with real servers (TLS-041, RB-084, CVE-2024-7383): who is believed, and who is not. Prints a table of what came of each way.
@Suite(.timeLimit(.minutes(5))) struct TLSMatrixTests {
  /// What the client meets.
  enum Way: String, CaseIterable {
    case good, client, stranger, wrongCA, wrongName, expired, selfSigned, ofAClient, unverified, missing, plain, stripped, injected

    /// Words of the error that is expected; none where data are to be read and written.
    func reasons(usesKeys: Bool) -> [String] {
      switch self {
      case .good, .client, .unverified: []
      case .stranger: ["TLS", "closed the connection"]
      case .wrongCA where usesKeys: ["TLS", "closed the connection"]
      case .wrongName where usesKeys: ["no key of the user"]
      case .wrongCA: ["not who it should be"]
      case .wrongName: ["does not match"]
      case .expired: ["expired"]
      case .selfSigned: ["issuer is unknown"]
      case .ofAClient: ["purpose"]
      case .missing: ["reading"]
      case .plain, .stripped: ["refused NBD_OPT_STARTTLS"]
      case .injected: ["in the clear"]
      }
    }

    /// Certificates have ways to be wrong that keys have not.
    func exists(usesKeys: Bool) -> Bool {
      switch self {
      case .expired, .selfSigned, .ofAClient, .unverified, .client, .stranger: !usesKeys
      default: true
      }
    }
  }

  @Test(arguments: TLSServer.allCases, [Transport.tcp, .unix])
  func certificates(server: TLSServer, transport: Transport) async throws {
    try await matrix(server, transport, usesKeys: false)
  }

  @Test(arguments: [TLSServer.nbdkit, .qemuNBD], [Transport.tcp, .unix])
  func keys(server: TLSServer, transport: Transport) async throws {
    try await matrix(server, transport, usesKeys: true)
  }

  private func matrix(_ server: TLSServer, _ transport: Transport, usesKeys: Bool) async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      let image = try directory.sparseFile("image", size: 8 << 20)
      var row: [String] = []
      for way in Way.allCases where way.exists(usesKeys: usesKeys) {
        let outcome = try await outcome(of: way, server, transport, usesKeys, certificates, image, directory)
        let reasons = way.reasons(usesKeys: usesKeys)
        let isExpected = outcome.map { text in reasons.contains { text.contains($0) } } ?? reasons.isEmpty
        #expect(isExpected, "\(way): \(outcome ?? "connected")")
        row.append("\(way.rawValue) \(outcome == nil ? "connected" : "refused")\(isExpected ? "" : " (!)")")
      }
      print("TLS | \(server.rawValue) | \(usesKeys ? "PSK" : "X.509") | \(transport) | \(row.joined(separator: " | "))")
    }
  }

  /// What went wrong; nil where data went both ways.
  private func outcome(
    of way: Way, _ server: TLSServer, _ transport: Transport, _ usesKeys: Bool, _ certificates: Certificates, _ image: String,
    _ directory: TemporaryDirectory
  ) async throws -> String? {
    let shown: Certificates.Server =
      switch way {
      case .wrongName: .wrongName
      case .expired: .expired
      case .selfSigned: .selfSigned
      case .ofAClient: .ofAClient
      default: .good
      }
    let kind =
      way == .plain
      ? server.plainKind(image: image)
      : usesKeys
        ? server.kind(image: image, keys: certificates.keys)
        : server.kind(image: image, certificates: certificates.server(shown), asksClient: way == .client || way == .stranger)
    var tls = TLSConfiguration()
    if usesKeys {
      tls.preSharedKeyFile = way == .missing ? directory / "none" : way == .wrongCA ? certificates.wrongKeys : certificates.keys
      tls.username = way == .wrongName ? "mallory" : "alice"
    } else {
      tls.certificates =
        switch way {
        // nbd-server asks every client who it is.
        case .good where server == .nbdServer: certificates.client
        case .unverified where server == .nbdServer: certificates.client
        case .wrongCA, .unverified: certificates.others
        case .missing: directory / "none"
        case .client: certificates.client
        default: certificates.trusting
        }
      if transport == .unix || way == .stripped || way == .injected { tls.hostname = "localhost" }
      if way == .unverified {
        tls.verifiesPeer = false
        tls.hostname = "elsewhere.example"
      }
    }
    return try await withServer(kind, over: transport, in: directory) { [tls] running in
      var address = running.endpoint.address
      var meddler: Meddler?
      if let deed: Meddler.Deed = way == .stripped ? .strips : way == .injected ? .injects(Server.error(7, 1)) : nil {
        meddler = try Meddler(deed, before: address, in: directory)
        address = .unix(path: Array(meddler!.path.utf8))
      }
      let (target, name) = (address, server.exportName)
      let error = try await onThread { Self.exchange(target, tls, name) }
      if let meddler {
        // Nothing was told to whoever is on the way: a goodbye at most.
        let heard = meddler.heard()
        #expect(heard == [] || heard == Client.abort, "\(way): \(heard.count) bytes")
      }
      return error
    }
  }

  /// Writes and reads over TLS. The error of the first thing that fails.
  private static func exchange(_ address: ServerAddress, _ tls: TLSConfiguration, _ name: String) -> String? {
    do throws(NBDError) {
      let configuration = NBDClient.Configuration(request: HandshakeRequest(exportName: name))
      let client = try NBDClient(try ServerEndpoint(address, tls: tls), configuration)
      defer { client.close() }
      guard client.export.isEncrypted else { return "not encrypted" }
      // Many records, and the pieces of one.
      for (offset, count) in [(0, 512), (4096, 1 << 20), (1, 70_001), ((8 << 20) - 4096, 4096)] as [(UInt64, Int)] {
        let data = pattern(count, from: offset)
        try client.write(data, at: offset)
        guard try client.read(at: offset, count: count) == data else { return "other data at \(offset)" }
      }
      try client.flush()
      return nil
    } catch { return "\(error)" }
  }
}

extension Endpoint {
  /// As the library has it.
  var address: ServerAddress {
    switch self {
    case .unix(let path): .unix(path: Array(path.utf8))
    case .tcp(let port): .tcp(host: "127.0.0.1", port: port)
    }
  }
}
