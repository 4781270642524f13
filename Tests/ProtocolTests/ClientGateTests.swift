import Glibc
import Synchronization
import Testing

@testable import NBDProtocol

/// What passes an export's gate, and what waits there.
@Suite struct ClientGateTests {
  @Test(arguments: [1, 4]) func onlyMutatingRequestsThatOverlapWait(connections: Int) async throws {
    let written = Mutex<[UInt64]>([])
    let server = try ScriptedServer { connection in
      while let request = connection.request(), request.command != SeenRequest.disconnect {
        if request.command == SeenRequest.write { written.withLock { $0.append(request.offset) } }
        connection.send(connection.answer(request))
      }
    }
    let client = try await onThread { try server.client(connections: connections) }
    let hold = client.connections.gate.hold(4096..<8192)
    let isHeld = Atomic<Bool>(true)
    async let waiting: Void = onThreads(3) { number in
      let error = failure { () throws(NBDError) in
        switch number {
        case 0: try client.write(pattern(512), at: 4096)
        case 1: try client.zero(at: 4097, length: 4095)
        default: try client.trim(at: 4000, length: 97)
        }
      }
      if let error { Issue.record("\(error)") }
      if isHeld.load(ordering: .acquiring) { Issue.record("\(number) did not wait") }
    }
    try await onThread {
      // What only reads passes, and what is beside it. Each of them gives the others time to go wrong.
      for _ in 0..<50 {
        _ = try client.read(at: 4096, count: 4096)
        try client.flush()
        try client.write(pattern(416), at: 3584)
        try client.write(pattern(512), at: 8192)
      }
      #expect(written.withLock { $0.allSatisfy { $0 == 3584 || $0 == 8192 } })
      isHeld.store(false, ordering: .releasing)
      client.connections.gate.release(hold)
    }
    try await waiting
    try await onThread {
      #expect(client.connections.gate.isEmpty)
      client.close()
    }
  }

  // Two that wait for the same bytes go in the order in which they came.
  @Test func parkedWritesKeepTheirOrder() async throws {
    let seen = Mutex<[UInt64]>([])
    let server = try ScriptedServer { connection in
      while let request = connection.request(), request.command != SeenRequest.disconnect {
        if request.command == SeenRequest.write { seen.withLock { $0.append(request.length) } }
        connection.send(connection.answer(request))
      }
    }
    let client = try await onThread { try server.client() }
    let hold = client.connections.gate.hold(0..<1)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for length in 1...8 {
        group.addTask { try await onThread { try client.write(pattern(length), at: 0) } }
        // It is in the mailbox before the next one comes.
        while client.connections.reactors[0].load.load(ordering: .acquiring) < length { await Task.yield() }
      }
      try await onThread { try client.flush() }
      client.connections.gate.release(hold)
      try await group.waitForAll()
    }
    #expect(seen.withLock { $0 } == Array(1...8))
    try await onThread { client.close() }
  }

  // RB-053: the end of a client waits for no hold.
  @Test func parkedRequestsEndWithTheClient() async throws {
    let server = try ScriptedServer { $0.serve() }
    let client = try await onThread { try server.client(connections: 2) }
    _ = client.connections.gate.hold(0..<512)
    async let error = onThread { failure { () throws(NBDError) in try client.write([1], at: 0) } }
    try await onThread {
      while client.connections.reactors.allSatisfy({ $0.load.load(ordering: .acquiring) == 0 }) { sched_yield() }
      let start = ContinuousClock.now
      client.close()
      #expect(ContinuousClock.now - start < .seconds(4))
    }
    #expect(try await error != nil)
  }

  @Test func parkedRequestsEndWithTheLastConnection() async throws {
    let mayEnd = Moment()
    let server = try ScriptedServer { connection in
      if connection.number == 0 { _ = connection.request() } else { mayEnd.wait() }
    }
    let client = try await onThread { try server.client(connections: 2) }
    _ = client.connections.gate.hold(0..<512)
    async let error = onThread { failure { () throws(NBDError) in try client.write([1], at: 0) } }
    try await onThread {
      while client.connections.reactors.allSatisfy({ $0.load.load(ordering: .acquiring) == 0 }) { sched_yield() }
      mayEnd.happened()
      // Ends the other one.
      while client.connections.isAlive { _ = failure { () throws(NBDError) in try client.flush() } }
    }
    #expect(try await error != nil)
    try await onThread { client.close() }
  }
}
