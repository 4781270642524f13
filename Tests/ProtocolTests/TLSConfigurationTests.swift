import Foundation
import TestSupport
import Testing

@testable import NBDProtocol

/// What a person and a URI may say about TLS, and what has to be there for it.
@Suite struct TLSConfigurationTests {
  private static let local = ServerAddress.tcp(host: "localhost", port: 1)

  private func reason(_ tls: TLSConfiguration, _ address: ServerAddress = local) -> String? {
    failure { () throws(NBDError) in _ = try TLSCredentials(tls, for: address) }.map { "\($0)" }
  }

  // URI-003, URI-022: its scheme requires TLS, whatever else is said.
  @Test func aURIIsNotWeakenedAndMayBeStrengthened() throws {
    let secret = try NBDURI("nbds://alice@host/?tls-hostname=name&tls-verify-peer=0")
    let open = try NBDURI("nbd://host/")
    let alone = try #require(try secret.tlsConfiguration())
    #expect(alone.policy == .require && alone.username == "alice" && alone.hostname == "name" && alone.verifiesPeer == false)
    #expect(try secret.tlsConfiguration(TLSConfiguration(policy: .allow))?.policy == .require)
    #expect(failure { () throws(NBDError) in _ = try secret.tlsConfiguration(TLSConfiguration(policy: .off)) } != nil)
    #expect(try open.tlsConfiguration() == nil)
    #expect(try open.tlsConfiguration(TLSConfiguration())?.policy == .require)
    // A person goes before a URI.
    var given = TLSConfiguration()
    given.verifiesPeer = true
    given.hostname = "mine"
    given.username = "bob"
    let both = try #require(try secret.tlsConfiguration(given))
    #expect(both.verifiesPeer == true && both.hostname == "mine" && both.username == "bob")
  }

  @Test(arguments: ["tls-certificates", "tls-psk-file"])
  func filesOfAURIAreReadOnlyWhenThatIsAllowed(parameter: String) throws {
    let uri = try NBDURI("nbds://host/?\(parameter)=/etc/passwd")
    let error = failure { () throws(NBDError) in _ = try uri.tlsConfiguration() }
    #expect(error.map { "\($0)" }?.contains(parameter) == true)
    let allowed = try #require(try uri.tlsConfiguration(usesFiles: true))
    #expect(allowed.certificates ?? allowed.preSharedKeyFile == "/etc/passwd")
    // An endpoint does not read them by itself.
    #expect(failure { () throws(NBDError) in _ = try ServerEndpoint(uri) } == error)
    var given = TLSConfiguration()
    given.certificates = "/c"
    given.preSharedKeyFile = "/k"
    given.authentication = .preSharedKey
    #expect(try uri.tlsConfiguration(given) == given)
  }

  // Who says by what the server is known is not overruled by a URI, which may come from anybody.
  @Test func aURIDoesNotChooseHowTheServerIsKnown() throws {
    let uri = try NBDURI("nbds://host/?tls-type=x509&tls-verify-peer=0")
    var keys = TLSConfiguration()
    keys.preSharedKeyFile = "/k"
    #expect(try uri.tlsConfiguration(keys)?.authentication == .preSharedKey)
    var folder = TLSConfiguration()
    folder.certificates = "/c"
    #expect(try NBDURI("nbds://host/?tls-type=psk&tls-verify-peer=0").tlsConfiguration(folder)?.authentication == .certificates)
    #expect(try uri.tlsConfiguration(folder)?.verifiesPeer != false)
    var name = TLSConfiguration()
    name.hostname = "n"
    #expect(try uri.tlsConfiguration(name)?.verifiesPeer != false)
    folder.verifiesPeer = false
    #expect(try uri.tlsConfiguration(folder)?.verifiesPeer == false)
  }

  // Not in the clear, and not with less, once the first is lost: said at the start.
  @Test func anotherWayIsAsStrictAsTheFirst() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      var strict = TLSConfiguration()
      strict.certificates = certificates.trusting
      var loose = strict
      loose.verifiesPeer = false
      let address = ServerAddress.tcp(host: "localhost", port: 1)
      let first = try ServerEndpoint(address, tls: strict)
      for (tls, isGood) in [(strict, true), (loose, false), (nil, false)] as [(TLSConfiguration?, Bool)] {
        let way = Opener(try ServerEndpoint(address, tls: tls), HandshakeRequest())
        #expect((failure { () throws(NBDError) in try way.check(asWayBeside: first) } == nil) == isGood)
        #expect(failure { () throws(NBDError) in try way.check(asWayBeside: try ServerEndpoint(address)) } == nil)
      }
    }
  }

  @Test func anonymousTLSIsRefused() {
    var tls = TLSConfiguration()
    tls.authentication = .anonymous
    #expect(reason(tls)?.contains("anon") == true)
    tls.authentication = .preSharedKey
    #expect(reason(tls)?.contains("tls-psk-file") == true)
  }

  // CVE-2024-7383: a name that is not known is no reason not to verify it.
  @Test func whoHasNoHostNameNeedsOne() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      for address in [ServerAddress.unix(path: [1]), .vsock(cid: 2, port: 1), .command(["x"]), .socketActivation(["x"])] {
        var tls = TLSConfiguration()
        tls.certificates = certificates.trusting
        #expect(reason(tls, address)?.contains("tls-hostname") == true, "\(address)")
        tls.hostname = "name"
        #expect(reason(tls, address) == nil)
        tls.hostname = nil
        tls.verifiesPeer = false
        #expect(reason(tls, address) == nil)
        tls = TLSConfiguration()
        tls.preSharedKeyFile = certificates.keys
        tls.username = "alice"
        #expect(reason(tls, address) == nil)
      }
    }
  }

  @Test(arguments: [0o604, 0o640, 0o610, 0o644, 0o602, 0o620, 0o660, 0o666] as [mode_t])
  func aSecretThatIsNoneIsRefused(mode: mode_t) async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      var key = TLSConfiguration()
      key.preSharedKeyFile = certificates.keys
      key.username = "alice"
      #expect(reason(key) == nil)
      chmod(certificates.keys, mode)
      #expect(reason(key)?.contains("chmod 600") == true)
      var own = TLSConfiguration()
      own.certificates = certificates.client
      #expect(reason(own) == nil)
      chmod(certificates.client + "/client-key.pem", mode)
      #expect(reason(own)?.contains("chmod 600") == true)
    }
  }

  /// Who may read a secret: its owner, who is root or us; and us by the group of a file of root's.
  @Test(arguments: [
    (owner: 0, user: 0, mode: 0o600, isGood: true), (0, 0, 0o400, true), (0, 0, 0o640, false), (0, 0, 0o604, false),
    (0, 7, 0o640, true), (0, 7, 0o440, true), (0, 7, 0o660, false), (0, 7, 0o650, false), (0, 7, 0o644, false),
    (7, 7, 0o600, true), (7, 7, 0o400, true), (7, 7, 0o640, false), (7, 7, 0o620, false), (7, 7, 0o601, false),
    (8, 7, 0o600, false), (7, 0, 0o600, false),
  ] as [(owner: uid_t, user: uid_t, mode: mode_t, isGood: Bool)])
  func aSecretIsItsOwnersAlone(owner: uid_t, user: uid_t, mode: mode_t, isGood: Bool) {
    var status = stat()
    status.st_uid = owner
    status.st_mode = S_IFREG | mode
    #expect((TLSFiles.problem(with: status, as: .secret, user: user) == nil) == isGood)
  }

  /// Whoever can write a file that says whom to believe, or its folder, can be the server; reading it is everybody's right.
  @Test(arguments: [
    (owner: 0, type: S_IFREG, mode: 0o644, isGood: true), (7, S_IFREG, 0o644, true), (8, S_IFREG, 0o644, false),
    (7, S_IFREG, 0o664, false), (7, S_IFREG, 0o646, false), (7, S_IFREG, 0o1646, false),
    (7, S_IFDIR, 0o755, true), (7, S_IFDIR, 0o775, false), (7, S_IFDIR, 0o757, false), (0, S_IFDIR, 0o1777, true),
    (8, S_IFDIR, 0o1777, false),
  ] as [(owner: uid_t, type: mode_t, mode: mode_t, isGood: Bool)])
  func anAuthorityIsNotForOthersToWrite(owner: uid_t, type: mode_t, mode: mode_t, isGood: Bool) {
    var status = stat()
    status.st_uid = owner
    status.st_mode = type | mode
    #expect((TLSFiles.problem(with: status, as: .authority, user: 7) == nil) == isGood)
  }

  @Test(arguments: [0o664, 0o646, 0o666] as [mode_t])
  func anAuthorityThatOthersCanWriteIsRefused(mode: mode_t) async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      var tls = TLSConfiguration()
      tls.certificates = certificates.trusting
      let file = certificates.trusting + "/ca-cert.pem"
      chmod(file, mode)
      #expect(reason(tls)?.contains("\(file) says whom to believe") == true && reason(tls)?.contains("chmod go-w") == true)
      chmod(file, 0o644)
      #expect(reason(tls) == nil)
      // Another file could be put in its place.
      chmod(certificates.trusting, mode | 0o111)
      #expect(reason(tls)?.contains("the folder \(certificates.trusting) says whom to believe") == true)
      // The sticky bit keeps others from that.
      chmod(certificates.trusting, mode | 0o1111)
      #expect(reason(tls) == nil)
      // What is revoked is no less important.
      let revoked = certificates.trusting + "/ca-crl.pem"
      try "x\n".write(toFile: revoked, atomically: false, encoding: .utf8)
      chmod(revoked, mode)
      #expect(reason(tls)?.contains("\(revoked) says whom to believe") == true)
    }
  }

  @Test func filesThatAreNoGoodAreNamed() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      func write(_ path: String, _ text: String) throws {
        try? FileManager.default.removeItem(atPath: path)
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        chmod(path, 0o600)
      }
      var tls = TLSConfiguration()
      tls.certificates = certificates.client
      for (file, text) in [("client-cert.pem", ""), ("client-cert.pem", "x\n"), ("client-key.pem", "x\n"), ("ca-cert.pem", "x\n")] {
        let path = certificates.client + "/" + file
        let good = try String(contentsOfFile: path, encoding: .utf8)
        try write(path, text)
        #expect(reason(tls)?.contains(file) == true, "\(file): \(reason(tls) ?? "no error")")
        try write(path, good)
        #expect(reason(tls) == nil)
      }
      // A certificate without its key, and the other way round.
      for file in ["client-key.pem", "client-cert.pem"] {
        let path = certificates.client + "/" + file
        try FileManager.default.moveItem(atPath: path, toPath: path + ".away")
        #expect(reason(tls)?.contains("\(file) is missing") == true)
        try FileManager.default.moveItem(atPath: path + ".away", toPath: path)
      }
      var key = TLSConfiguration()
      key.preSharedKeyFile = certificates.keys
      for (lines, word) in [
        ("alice:xyz\n", "hexadecimal"), ("alice:012\n", "hexadecimal"), ("alice:\n", "hexadecimal"),
        ("alicea:01\nali:01\n", "no key"), ("", "0 bytes"),
      ] {
        key.username = "alice"
        try write(certificates.keys, lines)
        #expect(reason(key)?.contains(word) == true, "\(lines): \(reason(key) ?? "no error")")
      }
      tls.certificates = directory.path + "/keys/keys.psk"
      #expect(reason(tls) != nil)
      tls.certificates = "/dev"
      #expect(reason(tls)?.contains("/dev/ca-cert.pem") == true)
    }
  }

  @Test func theUsualFoldersAreThoseOfLibnbd() {
    #expect(TLSFiles.folders(user: 0, home: "/root") == ["/etc/pki/libnbd"])
    #expect(TLSFiles.folders(user: 5, home: "/h") == ["/h/.pki/libnbd", "/h/.config/pki/libnbd"])
    #expect(TLSFiles.folders(user: 5, home: nil) == [])
  }
}
