import Glibc
import Synchronization
import Testing

@testable import NBDProtocol

/// One flush of an export waits for another: of two at the same time, the server may tell an error to either.
@Suite struct FlushOrderTests {
  @Test func aFlushIsSentAfterTheReplyToTheOneBeforeIt() throws {
    var session = MachineSession(.test(.simple))
    session.submit(.flush)
    session.submit(.flush)
    let first = session.requests()
    #expect(first.map(\.command) == [SeenRequest.flush])
    session.receive(Reply.simple(try #require(first.first).handle, error: 5))
    let second = session.requests()
    #expect(second.map(\.command) == [SeenRequest.flush])
    session.receive(Reply.simple(try #require(second.first).handle))
    #expect(session.outcomes == [[.failed(.ioError)], [.success]])
  }

  @Test func nothingElseWaitsForAFlush() {
    var session = MachineSession(.test(.simple, minimum: 512))
    session.submit(.flush)
    session.submit(.write(0, zeros(512)))
    session.submit(.read(0, 512))
    #expect(session.requests().map(\.command) == [SeenRequest.flush, SeenRequest.write, SeenRequest.read])
  }

  @Test func allFlushesOfAnExportGoToOneConnection() async throws {
    let hasFlush = Moment()
    let mayAnswer = Moment()
    let server = try ScriptedServer { connection in
      while let request = connection.request(), request.command != SeenRequest.disconnect {
        if request.command == SeenRequest.flush {
          hasFlush.happened()
          mayAnswer.wait()
        }
        connection.send(connection.answer(request))
      }
    }
    let client = try await onThread { try server.client(connections: 2) }
    async let first: Void = onThread { try client.flush() }
    try await onThread { #expect(hasFlush.wait()) }
    async let second: Void = onThread { try client.flush() }
    try await onThread {
      let reactors = client.connections.reactors
      func loads() -> [Int] { reactors.map { $0.load.load(ordering: .relaxed) } }
      let deadline = MonotonicClock.now + 10_000_000_000
      while loads().reduce(0, +) < 2, MonotonicClock.now < deadline { sched_yield() }
      #expect(loads() == [2, 0])
      mayAnswer.happened()
      mayAnswer.happened()
    }
    _ = try await (first, second)
    try await onThread { client.close() }
  }

  // TX-083: who writes and then flushes gets a flush behind the last reply, also where the write took several commands and the
  // flush another connection.
  @Test func aFlushFollowsTheRepliesToTheWritesBeforeIt() async throws {
    let events = Events()
    let hasLast = Moment()
    let mayAnswer = Moment()
    let server = try ScriptedServer(.init(blocks: [1, 4096, 65536])) { connection in
      while let request = connection.request(), request.command != SeenRequest.disconnect {
        switch request.command {
        case SeenRequest.write where request.offset == 3 * 65536:
          hasLast.happened()
          mayAnswer.wait()
          events.add("last write answered")
        case SeenRequest.write: events.add("write answered")
        case SeenRequest.flush: events.add("flush")
        default: break
        }
        connection.send(connection.answer(request))
      }
    }
    let client = try await onThread { try server.client(connections: 2) }
    async let written: Void = onThread {
      try client.write(zeros(4 * 65536), at: 0)
      try client.flush()
    }
    try await onThread {
      #expect(hasLast.wait())
      // The other connection is free, and the client could have used it for the flush by now.
      let data = try client.read(at: 4096, count: 512)
      #expect(data == pattern(512, from: 4096))
      mayAnswer.happened()
    }
    try await written
    try await onThread { client.close() }
    #expect(events.all == ["write answered", "write answered", "write answered", "last write answered", "flush"])
  }

  private final class Events: Sendable {
    private let list = Mutex<[String]>([])
    func add(_ event: String) { list.withLock { $0.append(event) } }
    var all: [String] { list.withLock { $0 } }
  }
}
