import Glibc
import TestSupport
import Testing

@testable import NBDProtocol

/// Encrypted connections that do not go as they should.
@Suite(.timeLimit(.minutes(3))) struct TLSSessionTests {
  private static func configuration(_ certificates: Certificates) -> TLSConfiguration {
    var tls = TLSConfiguration()
    tls.preSharedKeyFile = certificates.keys
    tls.username = "alice"
    return tls
  }

  /// A server that agrees to TLS and then does `next`, and what became of a negotiation with it within half a second.
  private func negotiate(_ next: @escaping @Sendable (Int32) -> Void) async throws -> NBDError? {
    try await withTemporaryDirectory { directory in
      let tls = Self.configuration(try await Certificates(in: directory))
      return try await onThread {
        let ends = try Syscall.socketpair()
        let far = ends.far.rawValue
        let peer = try POSIXThread.start("a peer") {
          let bytes = Server.greeting()
          guard send(far, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return }
          var buffer = [UInt8](repeating: 0, count: 20)
          guard recv(far, &buffer, 20, Int32(MSG_WAITALL)) == 20 else { return }
          let answer = Server.ack(5)
          guard send(far, answer, answer.count, Int32(MSG_NOSIGNAL)) == answer.count else { return }
          // The first message of TLS, whatever it is.
          var hello = [UInt8](repeating: 0, count: 65_536)
          guard recv(far, &hello, hello.count, 0) > 0 else { return }
          next(far)
        }
        let credentials = try TLSCredentials(tls, for: .unix(path: [1]))
        var channel = Channel(try Syscall.duplicate(ends.near.rawValue, atLeast: 0))
        let error: NBDError?
        do throws(NBDError) {
          _ = try Negotiator.run(HandshakeRequest(), credentials, over: &channel, until: .after(milliseconds: 500))
          error = nil
        } catch let thrown { error = thrown }
        shutdown(ends.near.rawValue, Int32(SHUT_RDWR))
        pthread_join(peer, nil)
        return error
      }
    }
  }

  @Test func aServerThatIsSilentDuringTheHandshakeIsGivenUp() async throws {
    let error = try await negotiate { far in
      var byte: UInt8 = 0
      while recv(far, &byte, 1, 0) == 1 {}
    }
    guard case .timedOut = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func aServerThatHangsUpDuringTheHandshakeIsDisconnected() async throws {
    let error = try await negotiate { shutdown($0, Int32(SHUT_RDWR)) }
    guard case .disconnected(let reason) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(reason.contains("during the TLS handshake"))
  }

  // TLS-037: what is in the clear after the acknowledgement, however late it comes, is not read as the protocol's.
  @Test(arguments: [0x4e, 0x14, 0x15, 0x16, 0x17, 0x00, 0xff] as [UInt8])
  func whatIsNoTLSIsRefused(first: UInt8) async throws {
    let error = try await negotiate { far in
      let bytes = [first, 3, 3, 0, 4, 1, 0, 0, 0] + Server.ack(5)
      _ = send(far, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      shutdown(far, Int32(SHUT_WR))
    }
    guard case .insecure = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  // A server that sends one byte at a time, for ever, is not listened to for ever.
  @Test func aServerThatTalksForEverIsGivenUp() async throws {
    let error = try await negotiate { far in
      let bytes: [UInt8] = [22, 3, 3, 0x40, 0]
      _ = send(far, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      while send(far, [2], 1, Int32(MSG_NOSIGNAL)) == 1 { usleep(1000) }
    }
    switch error {
    case .timedOut, .insecure: break
    default: Issue.record("\(String(describing: error))")
    }
  }

  @Test func aServerThatComesBackIsReadOverTLSAgain() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      let image = try directory.sparseFile("image", size: 1 << 20)
      let kind = TLSServer.nbdkit.kind(image: image, keys: certificates.keys)
      try await withServer(kind, in: directory) { first in
        var configuration = NBDClient.Configuration()
        configuration.reconnectTimeout = .seconds(60)
        let (address, wanted) = (first.endpoint.address, configuration)
        let client = try await onThread {
          try NBDClient(try ServerEndpoint(address, tls: Self.configuration(certificates)), wanted)
        }
        let data = pattern(200_000)
        try await client.write(data, at: 4096)
        try await first.crash()
        try await withServer(kind, at: first.endpoint, in: directory) { _ in
          #expect(try await client.read(at: 4096, count: data.count) == data)
          try await client.write(data, at: 500_000)
          #expect(try await client.read(at: 500_000, count: data.count) == data)
          try await onThread { client.close() }
        }
      }
    }
  }

  // TLS-042, no downgrade: neither a policy that allows clear text nor a new connection makes less of one
  // that was encrypted.
  @Test(arguments: [TLSPolicy.allow, .require])
  func aServerThatComesBackWithoutTLSIsNotTakenForTheSame(policy: TLSPolicy) async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      let image = try directory.sparseFile("image", size: 1 << 20)
      try await withServer(TLSServer.nbdkit.kind(image: image, keys: certificates.keys), in: directory) { first in
        var configuration = NBDClient.Configuration()
        configuration.reconnectTimeout = .seconds(8)
        var tls = Self.configuration(certificates)
        tls.policy = policy
        let (address, secret, wanted) = (first.endpoint.address, tls, configuration)
        let client = try await onThread { try NBDClient(try ServerEndpoint(address, tls: secret), wanted) }
        #expect(client.export.isEncrypted)
        #expect(try await client.read(at: 0, count: 512) == zeros(512))
        try await first.crash()
        try await withServer(TLSServer.nbdkit.plainKind(image: image), at: first.endpoint, in: directory) { _ in
          await #expect(throws: NBDError.self) { try await client.read(at: 0, count: 512) }
          let reason = try #require(client.failure.map { "\($0)" })
          // It is refused again and again, before anything is said in the clear, until nobody waits any more.
          #expect(reason.contains("refused NBD_OPT_STARTTLS"), "\(reason)")
          try await onThread { client.close() }
        }
      }
    }
  }

  @Test func whatIsAllowedIsNotRequired() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
        var tls = Self.configuration(certificates)
        tls.policy = .allow
        let (address, wanted) = (server.endpoint.address, tls)
        let client = try await onThread { try NBDClient(try ServerEndpoint(address, tls: wanted)) }
        #expect(!client.export.isEncrypted && client.notes.contains { $0.hasPrefix("no TLS") })
        try await onThread { client.close() }
      }
    }
  }

  // A certificate is no answer to who asked for a key that both sides have.
  @Test func aCertificateIsNotTakenForAKey() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      let image = try directory.sparseFile("image", size: 1 << 20)
      let kind = TLSServer.nbdkit.kind(image: image, certificates: certificates.server(.good))
      try await withServer(kind, in: directory) { server in
        let address = server.endpoint.address
        let error = try await onThread {
          failure { () throws(NBDError) in _ = try NBDClient(try ServerEndpoint(address, tls: Self.configuration(certificates))) }
        }
        guard case .insecure(let reason) = error else {
          Issue.record("\(String(describing: error))")
          return
        }
        #expect(reason.contains("TLS"), "\(reason)")
      }
    }
  }
}
