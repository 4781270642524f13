import Synchronization
import Testing

@testable import NBDProtocol

/// What the public requests put on the wire, and what they refuse themselves.
@Suite(.timeLimit(.minutes(10))) struct ClientRequestTests {
  /// Runs `work` on a client, and returns what the server was asked.
  private func requests(
    _ offer: ScriptedServer.Offer, _ work: @escaping @Sendable (NBDClient) throws -> Void
  ) async throws -> [SeenRequest] {
    try await onThread {
      let seen = Seen()
      let server = try ScriptedServer(offer) { connection in
        while let request = connection.request(), request.command != SeenRequest.disconnect {
          seen.requests.withLock { $0.append(request) }
          connection.send(connection.answer(request))
        }
      }
      let client = try server.client()
      try work(client)
      client.close()
      return seen.requests.withLock { $0 }
    }
  }

  private final class Seen: Sendable {
    let requests = Mutex<[SeenRequest]>([])
  }

  private static func refusal(_ work: () throws(NBDError) -> Void) -> String {
    switch failure(work) {
    case .unsupported: "unsupported"
    case .invalidArgument: "invalid"
    case let other: String(describing: other)
    }
  }

  // Flags: has, DF, flush, FUA, write zeroes, fast zero
  @Test func flagsOfReadsAndZeroesReachTheServer() async throws {
    let seen = try await requests(.init(replies: .structured, flags: 0b1000_1100_1101)) { client in
      _ = try client.read(at: 0, count: 512, flags: .dontFragment)
      try client.zero(at: 0, length: 512, flags: [.fastZero, .noHole])
    }
    #expect(seen.map(\.flags) == [SeenRequest.dontFragment, SeenRequest.fastZero | SeenRequest.noHole])
  }

  // TX-095: a server that cannot be fast says so, in an error of its own; it is for the caller to zero without haste, and the
  // client does not write the zeros unasked.
  @Test func zeroesThatAreNotFastAreTheCallersToRepeat() async throws {
    let seen = Seen()
    try await onThread {
      let server = try ScriptedServer { connection in
        while let request = connection.request(), request.command != SeenRequest.disconnect {
          seen.requests.withLock { $0.append(request) }
          let isFast = request.flags & SeenRequest.fastZero != 0
          connection.send(isFast ? connection.failure(request, 95) : connection.answer(request))
        }
      }
      let client = try server.client()
      let error = failure { () throws(NBDError) in try client.zero(at: 512, length: 4096, flags: .fastZero) }
      #expect(error == .server(.notSupported))
      try client.zero(at: 512, length: 4096)
      client.close()
    }
    let requests = seen.requests.withLock { $0 }
    #expect(requests.map(\.command) == [SeenRequest.writeZeroes, SeenRequest.writeZeroes])
    #expect(requests.map(\.flags) == [SeenRequest.fastZero, 0])
  }

  // Durable is a promise: without FUA and flush nobody can keep it.
  @Test func aDurableWriteNeedsFUAOrFlush() async throws {
    let seen = try await requests(.init(flags: 0b1)) { client in
      #expect(Self.refusal { () throws(NBDError) in try client.write([1], at: 0, fua: true) } == "unsupported")
      try client.write([1], at: 0)
    }
    #expect(seen.map(\.command) == [SeenRequest.write])
  }

  @Test(arguments: [.max, -1, 1 << 20 + 1] as [Int]) func aRangeOutsideTakesNoMemory(count: Int) async throws {
    let seen = try await requests(.init()) { client in
      #expect(Self.refusal { () throws(NBDError) in _ = try client.read(at: 0, count: count) } == "invalid")
    }
    let server = try ScriptedServer { $0.serve() }
    let client = try await onThread { try server.client() }
    await #expect(throws: NBDError.self) { _ = try await client.read(at: 0, count: count) }
    try await onThread { client.close() }
    #expect(seen == [])
  }
}
