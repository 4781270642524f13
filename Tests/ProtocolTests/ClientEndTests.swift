import Glibc
import Synchronization
import Testing

@testable import NBDProtocol

/// How a client's connections end, and what becomes of what is in flight, over a scripted server.
@Suite(.timeLimit(.minutes(10))) struct ClientEndTests {
  // RB-055: end of stream and reset with 64 requests in flight
  @Test(arguments: [false, true]) func aLostConnectionFailsAllThatIsPendingOnce(isReset: Bool) async throws {
    let server = try ScriptedServer { connection in
      if isReset {
        _ = connection.header()
        connection.reset()
      } else {
        _ = connection.requests(64)
      }
    }
    let client = try await onThread { try server.client() }
    let failures = Atomic<Int>(0)
    try await onThreads(64) { number in
      let error = failure { () throws(NBDError) in _ = try client.read(at: UInt64(number), count: 512) }
      if case .disconnected = error { failures.add(1, ordering: .relaxed) } else { Issue.record("\(String(describing: error))") }
    }
    #expect(failures.load(ordering: .relaxed) == 64)
    try await onThread {
      #expect(client.failure != nil)
      // And later requests fail at once.
      let later = failure { () throws(NBDError) in try client.flush() }
      #expect(later == client.failure)
      client.close()
    }
  }

  @Test func anAsyncRequestEndsWithTheConnection() async throws {
    let server = try ScriptedServer { connection in _ = connection.requests(20) }
    let client = try await onThread { try server.client() }
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<20 as Range<UInt64> {
        group.addTask {
          await #expect(throws: NBDError.self) { try await client.write([1, 2, 3], at: number) }
        }
      }
    }
    try await onThread { client.close() }
  }

  // RB-041..RB-045, RB-076: a violation ends the connection and says what was wrong
  @Test(arguments: [
    { _ in be32(0xdead_beef) + zeros(60) }, { Reply.simple($0.handle ^ 1) }, { Reply.simple($0.handle) + Reply.simple($0.handle) },
    { ChunkForm.structured.done($0) },
  ] as [@Sendable (SeenRequest) -> [UInt8]]) func aViolationFailsWhatIsPending(reply: @escaping @Sendable (SeenRequest) -> [UInt8]) async throws {
    try await onThread {
      let server = try ScriptedServer { connection in
        guard let request = connection.request() else { return }
        connection.send(reply(request))
        // The client hangs up: the end of the stream is awaited.
        while connection.request() != nil {}
      }
      let client = try server.client()
      _ = failure { () throws(NBDError) in try client.flush() }
      let second = failure { () throws(NBDError) in try client.flush() }
      guard case .violation = second else {
        Issue.record("expected a violation, got \(String(describing: second))")
        return
      }
      client.close()
    }
  }

  // TX-088, RB-049: what is in flight is finished, then DISC, and nothing new
  @Test func shutdownFinishesWhatIsInFlightAndDisconnects() async throws {
    let hasBoth = Moment()
    let mayFinish = Moment()
    let ended = Moment()
    let wasDisconnected = Atomic<Bool>(false)
    let server = try ScriptedServer { connection in
      let requests = connection.requests(2)
      hasBoth.happened()
      let flush = requests.first { $0.command == SeenRequest.flush }
      let read = requests.first { $0.command == SeenRequest.read }
      guard let flush, let read else { return }
      connection.send(connection.failure(flush, 108))
      mayFinish.wait()
      connection.send(connection.answer(read))
      wasDisconnected.store(connection.request()?.command == SeenRequest.disconnect, ordering: .sequentiallyConsistent)
      ended.happened()
    }
    let client = try await onThread { try server.client() }
    async let read: [UInt8] = onThread { try client.read(at: 0, count: 512) }
    try await onThread {
      #expect(failure { () throws(NBDError) in try client.flush() } == .server(.shutdown))
      #expect(hasBoth.wait())
      // New requests are refused with the reason, while the old one is still waited for.
      let refused = failure { () throws(NBDError) in try client.write([1], at: 0) }
      #expect(refused == .disconnected("the server is shutting down"))
      mayFinish.happened()
    }
    #expect(try await read == pattern(512))
    try await onThread {
      #expect(ended.wait() && wasDisconnected.load(ordering: .sequentiallyConsistent))
      client.close()
    }
  }

  // TX-086: what is in flight is answered before DISC
  @Test func closeWaitsForWhatIsInFlight() async throws {
    let isAsked = Moment()
    let order = Mutex<[UInt16]>([])
    let server = try ScriptedServer { connection in
      guard let read = connection.request() else { return }
      isAsked.happened()
      // The client is closing now, and must not disconnect before this answer.
      var descriptor = pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0)
      #expect(poll(&descriptor, 1, 100) == 0, "something came before the reply")
      connection.send(connection.answer(read))
      while let request = connection.request() { order.withLock { $0.append(request.command) } }
    }
    let client = try await onThread { try server.client() }
    async let read: [UInt8] = onThread { try client.read(at: 0, count: 512) }
    try await onThread {
      #expect(isAsked.wait())
      client.close()
    }
    #expect(try await read == pattern(512))
    #expect(order.withLock { $0 } == [SeenRequest.disconnect])
  }

  // Whoever flushes for the log has gone by then.
  @Test func whatWaitsForTheWriteLogIsWrittenBeforeTheEnd() async throws {
    let count = 16
    let isEnding = Moment()
    let server = try ScriptedServer(ScriptedServer.Offer(size: 4 << 20)) { connection in
      var isFirst = true
      while let request = connection.request(), request.command != SeenRequest.disconnect {
        if request.command == SeenRequest.flush, isFirst {
          isFirst = false
          isEnding.wait()
        }
        connection.send(connection.answer(request))
      }
    }
    let client = try await onThread {
      var configuration = NBDClient.Configuration()
      configuration.reconnectTimeout = .seconds(60)
      configuration.writeLog = 1 << 20
      return try NBDClient(server.endpoint, configuration)
    }
    let ended = Atomic<Int>(0)
    async let writes: Void = onThreads(count) { number in
      let error = failure { () throws(NBDError) in try client.write(pattern(256 << 10), at: UInt64(number) << 18) }
      #expect(error == nil)
      ended.add(1, ordering: .relaxed)
    }
    try await onThread {
      // All are with the reactor, or were before, and so is the flush, which waits with the server.
      let reactor = client.connections.reactors[0]
      #expect(eventually { reactor.load.load(ordering: .relaxed) + ended.load(ordering: .relaxed) == count + 1 })
    }
    async let closing: Void = onThread { client.close() }
    try await onThread {
      #expect(eventually { client.connections.isEnding })
      isEnding.happened()
    }
    try await closing
    try await writes
  }

  // RB-053, RB-054: close is bounded, also with several connections
  @Test func aServerThatNeverClosesIsLeft() async throws {
    let mayEnd = Moment()
    let server = try ScriptedServer { connection in
      connection.serve()
      mayEnd.wait(seconds: 30)
    }
    try await onThread {
      let client = try server.client(connections: 4)
      #expect(server.connectionCount == 4)
      let start = ContinuousClock.now
      client.close()
      #expect(ContinuousClock.now - start < .seconds(9), "the connections are waited for together")
      for _ in 0..<4 { mayEnd.happened() }
    }
  }

  @Test func aDroppedClientDisconnects() async throws {
    try await onThread {
      let isDisconnected = Moment()
      let server = try ScriptedServer(isDisconnected: isDisconnected)
      #expect(try server.client().read(at: 0, count: 512) == pattern(512))
      #expect(isDisconnected.wait())
    }
  }

  @Test func aLostConnectionIsNotChosenAgain() async throws {
    try await onThread {
      let server = try ScriptedServer { connection in
        if connection.number == 0 { _ = connection.request() } else { connection.serve() }
      }
      let client = try server.client(connections: 2)
      // The other connection carries out what the lost one could not.
      for _ in 0..<11 { try client.flush() }
      #expect(client.failure == nil)
      client.close()
    }
  }

  // A request that races with the end of the client ends too.
  @Test func requestsDuringCloseEndOneWayOrTheOther() async throws {
    for _ in 0..<10 {
      let server = try ScriptedServer { $0.serve() }
      let client = try await onThread { try server.client(connections: 2) }
      let started = Moment()
      async let closing: Void = onThread {
        started.wait()
        client.close()
      }
      try await onThreads(8) { thread in
        for round in 0..<200 {
          if round == 20, thread == 0 { started.happened() }
          let error = failure { () throws(NBDError) in _ = try client.read(at: 0, count: 16) }
          if let error {
            if case .disconnected = error { continue }
            Issue.record("\(error)")
          }
        }
      }
      try await closing
    }
  }
}
