import Glibc
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
}
