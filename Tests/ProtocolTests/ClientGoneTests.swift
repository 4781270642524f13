import Glibc
import Synchronization
import Testing

@testable import NBDProtocol

/// Operations whose caller goes while they are under way: what was sent counts as it really ends, and keeps others away.
@Suite struct ClientGoneTests {
  /// A server that keeps its answer to the first write until it may give it. Notes the offsets of the writes.
  private final class SlowServer: Sendable {
    let hasFirst = Moment()
    let mayAnswer = Moment()
    let writes = Mutex<[UInt64]>([])
    private let isFirst = Atomic<Bool>(true)

    func start(_ offer: ScriptedServer.Offer = .init(), failing: Bool = false) throws -> ScriptedServer {
      try ScriptedServer(offer) { connection in
        while let request = connection.request(), request.command != SeenRequest.disconnect {
          if request.command == SeenRequest.write {
            self.writes.withLock { $0.append(request.offset) }
            if self.isFirst.exchange(false, ordering: .sequentiallyConsistent) {
              self.hasFirst.happened()
              self.mayAnswer.wait()
              connection.send(failing ? connection.failure(request, 5) : connection.answer(request))
              continue
            }
          }
          connection.send(connection.answer(request))
        }
      }
    }
  }

  /// A write whose caller goes as soon as it is looked at.
  private static func write(
    _ client: NBDClient, _ offset: UInt64, _ length: Int = 512, gone: () -> Void = {}
  ) -> Outcome {
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 16)
    defer { buffer.deallocate() }
    buffer.initializeMemory(as: UInt8.self, repeating: 1, count: length)
    let operation = Operation(.write, offset: offset, length: UInt64(length), buffer: buffer, token: Token(.mailbox, 0))
    return client.connections.run(operation, isGone: { true }, gone: gone).0
  }

  // D4: NBD allows a server to process two writes in flight in either order.
  @Test(arguments: [1, 4], [false, true])
  func aWriteWhoseCallerIsGoneKeepsLaterOnesAway(connections: Int, fails: Bool) async throws {
    let slow = SlowServer()
    let server = try slow.start(failing: fails)
    let client = try await onThread { try server.client(connections: connections) }
    let isGone = Moment()
    async let first = onThread { Self.write(client, 4096) { isGone.happened() } }
    try await onThread { #expect(slow.hasFirst.wait() && isGone.wait()) }
    let isAnswered = Atomic<Bool>(false)
    async let second: Void = onThread {
      try client.write(pattern(512), at: 4100)
      let isFirstDone = isAnswered.load(ordering: .acquiring)
      #expect(isFirstDone, "the second write was sent before the end of the first was known")
    }
    try await onThread {
      if connections > 1 {
        // Others go, over the other connections, and give the second one time to go wrong.
        for _ in 0..<50 { try client.write(pattern(512), at: 8192) }
        #expect(slow.writes.withLock { $0.filter { $0 != 8192 } } == [4096])
      }
      isAnswered.store(true, ordering: .releasing)
      slow.mayAnswer.happened()
    }
    // The real outcome.
    #expect(try await first == (fails ? .failed(.ioError) : .success))
    try await second
    #expect(client.connections.gate.isEmpty)
    try await onThread { client.close() }
  }

  @Test func aWriteThatWaitedAtTheGateIsDropped() async throws {
    let slow = SlowServer()
    slow.mayAnswer.happened()
    let server = try slow.start()
    let client = try await onThread { try server.client(connections: 2) }
    let hold = client.connections.gate.hold(0..<4096)
    try await onThread {
      #expect(Self.write(client, 0) == .abandoned)
      #expect(slow.writes.withLock { $0.isEmpty })
      client.connections.gate.release(hold)
      // It holds nothing either.
      try client.write([1], at: 0)
      #expect(client.connections.gate.isEmpty)
      client.close()
    }
  }

  // What reads or flushes is waited for too, and holds nothing.
  @Test(arguments: [Command.read, .flush]) func whatDoesNotMutateHoldsNothing(command: Command) async throws {
    let isAsked = Moment()
    let mayAnswer = Moment()
    let server = try ScriptedServer { connection in
      guard let request = connection.request() else { return }
      isAsked.happened()
      mayAnswer.wait()
      connection.send(connection.answer(request))
      connection.serve()
    }
    let client = try await onThread { try server.client() }
    try await onThread {
      let buffer = UnsafeMutableRawPointer.allocate(byteCount: 512, alignment: 16)
      defer { buffer.deallocate() }
      let operation = Operation(
        command, length: command == .read ? 512 : 0, buffer: command == .read ? buffer : nil, token: Token(.mailbox, 0))
      let (outcome, _) = client.connections.run(operation, isGone: { true }) {
        #expect(client.connections.gate.isEmpty && isAsked.wait())
        mayAnswer.happened()
      }
      #expect(outcome == .success)
      client.close()
    }
  }

  // Races: each operation ends once, as it really did, and nothing stays held.
  @Test func storms() async throws {
    let server = try ScriptedServer(.init(replies: .structured)) { $0.serve() }
    let client = try await onThread { try server.client(connections: 2) }
    try await onThreads(4) { number in
      for round in 0..<20 {
        let outcome = Self.write(client, UInt64(round * 100), 300)
        if outcome != .success, outcome != .abandoned { Issue.record("\(outcome)") }
      }
    }
    try await onThread {
      #expect(client.failure == nil && client.connections.gate.isEmpty)
      client.close()
    }
  }
}
