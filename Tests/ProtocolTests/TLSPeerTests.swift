import Glibc
import Synchronization
import TestSupport
import Testing

@testable import NBDProtocol

/// Servers that speak TLS, and other versions of it than real ones here, or end it as they should not.
@Suite(.timeLimit(.minutes(3))) struct TLSPeerTests {
  /// What a client came to: nil where it is connected, and then what `use` made of it.
  private func meet<Value: Sendable>(
    versions: String = "+VERS-TLS1.3:+VERS-TLS1.2", _ script: @escaping @Sendable (TLSPeer) throws -> Void,
    use: @escaping @Sendable (NBDClient) throws -> Value
  ) async throws -> (client: Result<Value, any Error>, server: (any Error)?) {
    try await withTemporaryDirectory { directory in
      let keys = try await Certificates(in: directory).keys
      var tls = TLSConfiguration()
      tls.preSharedKeyFile = keys
      tls.username = "alice"
      let configuration = tls
      return try await onThread {
        let ends = try Syscall.socketpair()
        let far = ends.far.rawValue
        let failure = Mutex<(any Error)?>(nil)
        let peer = try POSIXThread.start("a peer") {
          do { try script(TLSPeer(far, keys: keys, versions: versions)) } catch { failure.withLock { $0 = error } }
          shutdown(far, Int32(SHUT_RDWR))
        }
        let near = try Syscall.duplicate(ends.near.rawValue, atLeast: 0).release()
        let result = Result {
          let client = try NBDClient(try ServerEndpoint(.descriptor(near), tls: configuration))
          defer { client.close() }
          return try use(client)
        }
        shutdown(ends.near.rawValue, Int32(SHUT_RDWR))
        pthread_join(peer, nil)
        return (result, failure.withLock { $0 })
      }
    }
  }

  @Test(arguments: ["TLS1.2", "TLS1.3"]) func eachVersionIsSpoken(version: String) async throws {
    let (client, server) = try await meet(versions: "+VERS-\(version)") { peer in
      try peer.negotiate()
      let request = try #require(try peer.receive(28))
      try peer.send(Reply.simple(request[8..<16].reduce(0) { $0 << 8 | UInt64($1) }, pattern(4096)))
      _ = try peer.receive(28)
    } use: { client in
      #expect(client.export.isEncrypted)
      return try client.read(at: 0, count: 4096)
    }
    #expect(server == nil, "\(String(describing: server))")
    #expect(try client.get() == pattern(4096))
  }

  @Test(arguments: ["+VERS-TLS1.1", "+VERS-TLS1.0:+VERS-TLS1.1"]) func anOldTLSIsRefused(versions: String) async throws {
    let (client, server) = try await meet(versions: versions) { _ in } use: { _ in }
    #expect(server != nil)
    let error = try #require(throws: NBDError.self) { try client.get() }
    guard case .insecure = error else {
      Issue.record("\(error)")
      return
    }
  }

  // TLS-046
  @Test func theClientEndsTLSBeforeTheConnection() async throws {
    let isClean = Atomic<Bool>(false)
    let (client, server) = try await meet { peer in
      try peer.negotiate()
      // NBD_CMD_DISC.
      let request = try #require(try peer.receive(28))
      #expect(request[7] == 2)
      // A connection that is cut is an error of GnuTLS.
      isClean.store(try peer.receive(1) == nil, ordering: .relaxed)
    } use: { _ in }
    #expect(server == nil, "\(String(describing: server))")
    #expect(throws: Never.self) { try client.get() }
    let wasClean = isClean.load(ordering: .relaxed)
    #expect(wasClean)
  }

  // TLS-047: half a reply, and the connection ends without the end of TLS; or with it, which is no better for what was asked.
  @Test(arguments: [false, true]) func aTruncatedStreamIsNoSuccess(isEnded: Bool) async throws {
    let (client, _) = try await meet { peer in
      try peer.negotiate()
      let request = try #require(try peer.receive(28))
      let reply = Reply.simple(request[8..<16].reduce(0) { $0 << 8 | UInt64($1) }, pattern(4096))
      try peer.send(Array(reply.prefix(2000)))
      if isEnded { peer.end() }
    } use: { client in
      try client.read(at: 0, count: 4096)
    }
    let error = try #require(throws: NBDError.self) { try client.get() }
    guard case .disconnected(let reason) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(reason.contains("without the end of TLS") == !isEnded, "\(reason)")
  }
}
