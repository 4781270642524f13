import Glibc
import Synchronization
import Testing

@testable import NBDProtocol

/// What becomes of the bytes that a lost connection may still write, while other connections live.
@Suite struct ClientLossTests {
  /// A server of two connections. The one that gets the first write keeps it, and ends in its own way.
  private final class LosingServer: Sendable {
    enum End: CaseIterable {
      /// It breaks the protocol, and stays.
      case violation
      /// It closes the connection.
      case close
      /// It says that it goes away, and answers the write later.
      case shutdown
    }

    let hasWrite = Moment()
    let mayEnd = Moment()
    let hasEnded = Atomic<Bool>(false)
    /// Of the writes after the first one: where they are, and whether they came before the first one's end.
    let later = Mutex<[(offset: UInt64, isEarly: Bool)]>([])
    private let isFirst = Atomic<Bool>(true)

    func start(_ end: End, _ offer: ScriptedServer.Offer = .init()) throws -> ScriptedServer {
      try ScriptedServer(offer) { connection in
        while let request = connection.request(), request.command != SeenRequest.disconnect {
          if request.command == SeenRequest.write {
            if self.isFirst.exchange(false, ordering: .sequentiallyConsistent) { return self.lose(connection, request, end) }
            let isEarly = !self.hasEnded.load(ordering: .sequentiallyConsistent)
            self.later.withLock { $0.append((request.offset, isEarly)) }
          }
          connection.send(connection.answer(request))
        }
      }
    }

    private func lose(_ connection: ScriptedServer.Connection, _ write: SeenRequest, _ end: End) {
      hasWrite.happened()
      switch end {
      case .violation:
        connection.send(be32(0xdead_beef) + zeros(60))
        mayEnd.wait(seconds: 30)
        hasEnded.store(true, ordering: .sequentiallyConsistent)
      case .close: hasEnded.store(true, ordering: .sequentiallyConsistent)
      case .shutdown:
        // The flush comes over this connection: it is the first one.
        if let flush = connection.request() { connection.send(connection.failure(flush, 108)) }
        mayEnd.wait(seconds: 30)
        hasEnded.store(true, ordering: .sequentiallyConsistent)
        connection.send(connection.answer(write))
        while connection.request() != nil {}
      }
    }

    var early: [UInt64] { later.withLock { $0.filter(\.isEarly).map(\.offset) } }
    var offsets: [UInt64] { later.withLock { $0.map(\.offset) } }
  }

  private static func load(_ client: NBDClient) -> Int {
    client.connections.reactors.reduce(0) { $0 + $1.load.load(ordering: .acquiring) }
  }

  // D2: what we gave up may still happen, until the server has closed the connection.
  @Test(arguments: [1, 512] as [UInt32]) func overlappingWritesWaitForTheEndOfAConnectionThatWasGivenUp(block: UInt32) async throws {
    let losing = LosingServer()
    let server = try losing.start(.violation, .init(blocks: [block, 4096, 1 << 20]))
    let client = try await onThread { try server.client(connections: 2) }
    async let first: Void = onThread { try client.write(pattern(512), at: 4096) }
    try await onThread {
      #expect(losing.hasWrite.wait())
      while client.connections.reactors.allSatisfy(\.isAlive) { sched_yield() }
      // What does not overlap goes on.
      for _ in 0..<20 { try client.write(pattern(512), at: 8192) }
      _ = try client.read(at: 4096, count: 512)
    }
    async let overlapping: Void = onThread { try client.write(pattern(8), at: 4600) }
    try await onThread {
      while Self.load(client) < 2 { sched_yield() }
      for _ in 0..<20 { try client.write(pattern(512), at: 8192) }
      #expect(losing.offsets.allSatisfy { $0 == 8192 }, "\(losing.offsets)")
      losing.mayEnd.happened()
    }
    try await first
    try await overlapping
    #expect(losing.early.allSatisfy { $0 == 8192 } && losing.offsets.contains(4096))
    try await onThread {
      #expect(client.connections.gate.isEmpty)
      client.close()
    }
  }

  // The server itself has closed it: nothing that it was sent happens any more.
  @Test func nothingWaitsForAConnectionThatTheServerHasClosed() async throws {
    let losing = LosingServer()
    let server = try losing.start(.close)
    try await onThread {
      let client = try server.client(connections: 2)
      try client.write(pattern(512), at: 4096)
      #expect(client.connections.gate.isEmpty && losing.offsets == [4096])
      try client.write(pattern(512), at: 4096)
      client.close()
    }
  }

  // NBD_ESHUTDOWN: what is in flight is finished, while new requests go to another connection.
  @Test func overlappingWritesWaitForAConnectionThatIsShuttingDown() async throws {
    let losing = LosingServer()
    let server = try losing.start(.shutdown)
    let client = try await onThread { try server.client(connections: 2) }
    async let first: Void = onThread { try client.write(pattern(512), at: 4096) }
    try await onThread {
      #expect(losing.hasWrite.wait())
      // The other connection carries it out.
      try client.flush()
    }
    let isWaiting = Self.load(client)
    async let overlapping: Void = onThread { try client.write(pattern(512), at: 4100) }
    try await onThread {
      while Self.load(client) == isWaiting { sched_yield() }
      for _ in 0..<20 { try client.write(pattern(512), at: 8192) }
      losing.mayEnd.happened()
    }
    try await first
    try await overlapping
    #expect(losing.early.allSatisfy { $0 == 8192 } && losing.offsets.contains(4100))
    try await onThread {
      #expect(client.connections.gate.isEmpty)
      client.close()
    }
  }

  // The wait has a bound, after which the server has forgotten what it was sent.
  @Test func theWaitForASilentServerIsBounded() async throws {
    let losing = LosingServer()
    let server = try losing.start(.violation)
    try await onThread {
      let opened = try Opener(server.endpoint, HandshakeRequest(exportName: "")).openAll(wanted: 2)
      var timing = Reactor.Timing()
      timing.quiesce = 300_000_000
      let connections = try ConnectionSet(opened.connections, timing)
      var byte: UInt8 = 1
      withUnsafeMutableBytes(of: &byte) { bytes in
        let operation = Operation(.write, offset: 4096, length: 1, buffer: bytes.baseAddress, token: Token(.mailbox, 0))
        let before = ContinuousClock.now
        #expect(connections.run(operation).0 == .success)
        #expect(ContinuousClock.now - before >= .milliseconds(300), "sent again before the server had forgotten it")
      }
      #expect(losing.early == [4096] && connections.gate.isEmpty)
      connections.stop()
      losing.mayEnd.happened()
    }
  }

  // RB-053
  @Test func theEndOfAClientDoesNotWaitForIt() async throws {
    let losing = LosingServer()
    let server = try losing.start(.violation)
    let client = try await onThread { try server.client(connections: 2) }
    async let write = onThread { failure { () throws(NBDError) in try client.write(pattern(512), at: 4096) } }
    try await onThread {
      #expect(losing.hasWrite.wait())
      let start = ContinuousClock.now
      client.close()
      #expect(ContinuousClock.now - start < .seconds(4))
      losing.mayEnd.happened()
    }
    let error = try await write
    #expect(error != nil)
  }
}
