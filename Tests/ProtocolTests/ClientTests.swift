import Glibc
import Synchronization
import TestSupport
import Testing

@testable import NBDProtocol

/// The whole client over a scripted server.
@Suite(.timeLimit(.minutes(10))) struct ClientTests {
  private static let offers: [ScriptedServer.Offer] = [
    .init(), .init(replies: .structured), .init(replies: .extended), .init(blocks: [512, 4096, 65536]),
    .init(flags: 0b1101, isOldstyle: true),
  ]

  // EH-030, MC-064, TX-085, TX-087: each negotiation, each form; and DISC is the last thing sent
  @Test(arguments: offers) func everyRequestWorksAndDisconnectIsLast(offer: ScriptedServer.Offer) async throws {
    try await onThread {
      let isDisconnected = Moment()
      let server = try ScriptedServer(offer, isDisconnected: isDisconnected)
      let client = try server.client()
      #expect(client.export.replies == offer.replies && client.export.size == offer.size)
      #expect(try client.read(at: 1000, count: 3000) == pattern(3000, from: 1000))
      try client.write(pattern(3000), at: 512)
      try client.flush()
      if !offer.isOldstyle {
        try client.trim(at: 0, length: 4096)
        try client.zero(at: 0, length: 4096)
        try client.cache(at: 0, length: 4096)
      }
      if offer.replies != .simple {
        #expect(try client.blockStatus(at: 0, length: 4096) == [Extent(offset: 0, length: 4096, status: 0)])
      }
      client.close()
      #expect(isDisconnected.wait())
    }
  }

  // A request that needs no reply must not wait for one.
  @Test func emptyRequestsReturnAtOnce() async throws {
    try await onThread {
      let server = try ScriptedServer(.init(replies: .structured, blocks: [4096, 4096, 65536])) { $0.serve() }
      let client = try server.client()
      #expect(try client.read(at: 5, count: 0) == [])
      try client.write([], at: 7)
      try client.trim(at: 1, length: 4000)
      #expect(try client.blockStatus(at: 0, length: 0) == [])
      client.close()
    }
  }

  @Test func theAsyncFormsDoTheSame() async throws {
    let server = try ScriptedServer(.init(replies: .structured)) { $0.serve() }
    let client = try await onThread { try server.client() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<200 as Range<UInt64> {
        group.addTask {
          let bytes = try await client.read(at: number * 100, count: 100)
          #expect(bytes == pattern(100, from: number * 100))
          try await client.write(bytes, at: number * 100, fua: true)
          let extents = try await client.blockStatus(at: number * 512, length: 512)
          #expect(extents == [Extent(offset: number * 512, length: 512, status: 0)])
        }
      }
      try await group.waitForAll()
    }
    try await client.flush()
    let empty: [UInt8] = try await client.read(at: 0, count: 0)
    #expect(empty == [])
    try await onThread { client.close() }
  }

  // TX-078: replies reordered under load from many threads
  @Test(arguments: [ReplyForm.simple, .extended]) func manyThreadsGetTheirOwnData(replies: ReplyForm) async throws {
    let server = try ScriptedServer(.init(replies: replies)) { connection in
      var generator = SeededGenerator(3)
      var held: [SeenRequest] = []
      while let request = connection.request() {
        if request.command == SeenRequest.disconnect { return }
        held.append(request)
        // The last of eight waiting threads has asked: answer all, in any order, cut in two.
        if held.count == 8 {
          let bytes = held.shuffled(using: &generator).flatMap { connection.answer($0) }
          let cut = Int.random(in: 0...bytes.count, using: &generator)
          connection.send(Array(bytes[..<cut]))
          connection.send(Array(bytes[cut...]))
          held = []
        }
      }
    }
    let client = try await onThread { try server.client() }
    try await onThreads(8) { thread in
      for round in 0..<200 {
        let offset = UInt64(thread * 1000 + round)
        do {
          let data = try client.read(at: offset, count: 64)
          if data != pattern(64, from: offset) { Issue.record("thread \(thread) got another's data") }
        } catch { Issue.record("\(error)") }
      }
    }
    try await onThread { client.close() }
  }

  // RB-056: the error comes before the payload was read; nothing else follows
  @Test func anEarlyErrorReachesTheWriter() async throws {
    try await onThread {
      let server = try ScriptedServer(.init(size: 64 << 20)) { connection in
        guard let write = connection.header() else { return }
        connection.send(connection.failure(write, 28))
        // Only now the payload, all of it, and then in step.
        let payload = connection.receive(Int(write.length))
        #expect(payload?.count == Int(write.length))
        connection.serve()
      }
      let client = try server.client()
      let payload = [UInt8](repeating: 5, count: 8 << 20)
      #expect(failure { () throws(NBDError) in try client.write(payload, at: 0) } == .server(.noSpace))
      try client.flush()
      client.close()
    }
  }

  // RB-051, RB-052: the server sends 64 MiB while it does not read, then reads while it does not send
  @Test func bothWaysAtOnceDoNotDeadlock() async throws {
    let count = 64 << 20
    let server = try ScriptedServer(.init(size: 1 << 30)) { connection in
      // The header of the write, and then nothing of its payload before the whole read was sent.
      guard let read = connection.header(), read.command == SeenRequest.read else { return }
      guard let second = connection.header() else { return }
      let data = [UInt8](repeating: 9, count: Int(read.length))
      connection.send(Reply.simple(read.handle, data))
      guard second.command == SeenRequest.write else { return }
      _ = connection.receive(Int(second.length))
      connection.send(connection.success(second))
      connection.serve()
    }
    let client = try await onThread { try server.client() }
    // One command each way: as large as the client makes one.
    let size = min(count, Int(Limits.payload))
    let reader = Task { try await onThread { try client.read(at: 0, count: size).allSatisfy { $0 == 9 } } }
    try await onThread {
      try #require(eventually { client.connections.reactors[0].load.load(ordering: .relaxed) > 0 })
      try client.write([UInt8](repeating: 7, count: size), at: 0)
    }
    #expect(try await reader.value)
    try await onThread { client.close() }
  }

  // RB-057
  @Test func aDrippingServerIsUnderstood() async throws {
    try await onThread {
      for replies in [ReplyForm.simple, .structured, .extended] {
        let server = try ScriptedServer(.init(replies: replies)) { connection in
          while let request = connection.request(), request.command != SeenRequest.disconnect {
            connection.drip(connection.answer(request))
          }
        }
        let client = try server.client()
        #expect(try client.read(at: 3, count: 500) == pattern(500, from: 3))
        try client.write([1], at: 0)
        client.close()
      }
    }
  }

  // TX-081
  @Test(arguments: [(true, 4), (false, 1)]) func severalConnectionsOnlyWhereTheServerPromisesThemConsistent(
    isMultiConn: Bool, expected: Int
  ) async throws {
    try await onThread {
      var offer = ScriptedServer.Offer()
      if !isMultiConn { offer.flags &= ~0x100 }
      let server = try ScriptedServer(offer) { $0.serve() }
      let client = try server.client(connections: 4)
      #expect(client.connections.reactors.count == expected && server.connectionCount == expected)
      client.close()
    }
  }

  @Test func theLeastLoadedConnectionIsChosen() async throws {
    let mayAnswer = Moment()
    let isHeld = Moment()
    let server = try ScriptedServer { connection in
      if connection.number == 0 {
        let held = connection.requests(1)
        isHeld.happened()
        mayAnswer.wait()
        for request in held { connection.send(connection.answer(request)) }
      }
      connection.serve()
    }
    let client = try await onThread { try server.client(connections: 3) }
    async let held: [UInt8] = onThread { try client.read(at: 0, count: 512) }
    try await onThread {
      #expect(isHeld.wait())
      // The first connection has one: these go to the others, and are answered.
      for _ in 0..<20 {
        let data = try client.read(at: 0, count: 512)
        #expect(data == pattern(512))
      }
      #expect(client.connections.reactors.map { $0.load.load(ordering: .relaxed) } == [1, 0, 0])
      mayAnswer.happened()
    }
    _ = try await held
    try await onThread { client.close() }
  }

  // MC-054
  @Test func blockStatusWithoutAContextIsALocalError() async throws {
    try await onThread {
      let server = try ScriptedServer(.init(replies: .structured, context: nil)) { $0.serve() }
      let client = try server.client()
      guard case .unsupported = failure({ () throws(NBDError) in _ = try client.blockStatus(at: 0, length: 512) }) else {
        Issue.record("expected a local error")
        return
      }
      client.close()
    }
  }
}
