import Glibc
import Synchronization
import Testing

@testable import NBDProtocol

/// A client whose server goes and comes back: *Reconnect, the exact rules*.
struct ClientReconnectTests {
  /// What each connection was sent, by number.
  private final class Record: Sendable {
    private let requests = Mutex<[(connection: Int, request: SeenRequest)]>([])
    func note(_ connection: ScriptedServer.Connection, _ request: SeenRequest) {
      requests.withLock { $0.append((connection.number, request)) }
    }
    /// Commands and offsets, in order; of the one connection where it is named.
    func seen(on number: Int) -> [String] {
      requests.withLock { all in
        all.filter { $0.connection == number }.map { "\($0.request.command) \($0.request.offset)" }
      }
    }

    /// Answers everything well until the disconnect or the end.
    func serve(_ connection: ScriptedServer.Connection) {
      while let request = connection.request(), request.command != SeenRequest.disconnect {
        note(connection, request)
        guard connection.send(connection.answer(request)) else { return }
      }
    }
  }

  /// A server whose first connection answers `count` requests, takes one more, and is closed; the later ones are recorded.
  private func server(answering count: Int, _ record: Record, _ offer: ScriptedServer.Offer = .init()) throws -> ScriptedServer {
    try ScriptedServer(offer) { connection in
      if connection.number > 0 { return record.serve(connection) }
      for _ in 0..<count { connection.requests(1).forEach { connection.send(connection.answer($0)) } }
      _ = connection.request()
    }
  }

  private func connect(
    _ server: ScriptedServer, connections: Int = 1, timeout: Duration? = .seconds(20), quiesce: Duration = .seconds(60),
    failover: [String] = []
  ) throws -> NBDClient {
    var configuration = NBDClient.Configuration(connections: connections)
    configuration.reconnectTimeout = timeout
    configuration.quiesce = quiesce
    configuration.failover = failover
    return try NBDClient(server.endpoint, configuration)
  }

  // Rules 1 and 6
  @Test(arguments: [SeenRequest.read, SeenRequest.write, SeenRequest.flush, SeenRequest.blockStatus])
  func aRequestInFlightIsSentAgain(command: UInt16) async throws {
    let record = Record()
    var offer = ScriptedServer.Offer()
    offer.replies = .structured
    let server = try ScriptedServer(offer) { connection in
      if connection.number > 0 { return record.serve(connection) }
      if let request = connection.request() { record.note(connection, request) }
    }
    try await onThread {
      let client = try connect(server)
      switch command {
      case SeenRequest.read: #expect(try client.read(at: 4096, count: 512) == pattern(512, from: 4096))
      case SeenRequest.write: try client.write(pattern(512), at: 4096)
      case SeenRequest.flush: try client.flush()
      default: #expect(try client.blockStatus(at: 4096, length: 512).count == 1)
      }
      let expected = ["\(command) \(command == SeenRequest.flush ? 0 : 4096)"]
      #expect(record.seen(on: 0) == expected && record.seen(on: 1) == expected)
      client.close()
    }
  }

  // Rules 7 and 11: what was answered goes first, then a flush, then what is in doubt, then what is new.
  @Test func theWriteLogGoesBeforeWhatIsInDoubt() async throws {
    let record = Record()
    let server = try server(answering: 2, record)
    try await onThread {
      let client = try connect(server)
      try client.write(pattern(512), at: 512)
      try client.zero(at: 4096, length: 4096)
      try client.write(pattern(512), at: 0)
      try client.write(pattern(512), at: 8192)
      #expect(
        record.seen(on: 1) == [
          "\(SeenRequest.write) 512", "\(SeenRequest.writeZeroes) 4096", "\(SeenRequest.flush) 0", "\(SeenRequest.write) 0",
          "\(SeenRequest.write) 8192",
        ])
      client.close()
    }
  }

  @Test func whatWasFlushedIsNotSentAgain() async throws {
    let record = Record()
    let server = try server(answering: 2, record)
    try await onThread {
      let client = try connect(server)
      try client.write(pattern(512), at: 512)
      try client.flush()
      #expect(try client.read(at: 0, count: 512) == pattern(512))
      #expect(record.seen(on: 1) == ["\(SeenRequest.read) 0"])
      client.close()
    }
  }

  // What the server refuses to take again is lost, and the next flush says so, once.
  @Test func aLogThatCannotBeSentAgainFailsTheNextFlush() async throws {
    let server = try ScriptedServer { connection in
      guard connection.number > 0 else {
        connection.requests(1).forEach { connection.send(connection.answer($0)) }
        _ = connection.request()
        return
      }
      while let request = connection.request(), request.command != SeenRequest.disconnect {
        let isRefused = request.command == SeenRequest.write && request.offset == 512
        connection.send(isRefused ? connection.failure(request, 28) : connection.answer(request))
      }
    }
    try await onThread {
      let client = try connect(server)
      try client.write(pattern(512), at: 512)
      _ = try client.read(at: 0, count: 512)
      #expect(failure { () throws(NBDError) in try client.flush() } == .server(.ioError))
      try client.flush()
      client.close()
    }
  }

  // Rule 2: ESHUTDOWN
  @Test func aServerThatAsksToBeLeftIsLeftAndTheRequestCarriedOutByTheNext() async throws {
    let record = Record()
    let isLeft = Moment()
    let server = try ScriptedServer { connection in
      if connection.number > 0 { return record.serve(connection) }
      if let request = connection.request() { connection.send(connection.failure(request, 108)) }
      if connection.request()?.command == SeenRequest.disconnect { isLeft.happened() }
    }
    try await onThread {
      let client = try connect(server)
      try client.write(pattern(512), at: 1024)
      #expect(isLeft.wait() && record.seen(on: 1) == ["\(SeenRequest.write) 1024"])
      client.close()
    }
  }

  // Rules 3 and 4: the peer is silent, so that reads go on at once, and the write waits.
  @Test func aWriteWaitsForTheFenceOfAConnectionThatWasGivenUpAndReadsDoNot() async throws {
    let record = Record()
    let isAsked = Moment()
    let mayEnd = Moment()
    let server = try ScriptedServer { connection in
      if connection.number > 0 { return record.serve(connection) }
      _ = connection.request()
      isAsked.happened()
      connection.send(be32(0xdead_beef) + zeros(60))
      mayEnd.wait(seconds: 30)
    }
    let client = try await onThread { try connect(server) }
    async let write: Void = onThread { try client.write(pattern(512), at: 4096) }
    try await onThread {
      #expect(isAsked.wait())
      for _ in 0..<10 {
        let bytes = try client.read(at: 4096, count: 512)
        #expect(bytes == pattern(512, from: 4096))
      }
      #expect(record.seen(on: 1) == Array(repeating: "\(SeenRequest.read) 4096", count: 10))
      mayEnd.happened()
    }
    try await write
    try await onThread {
      #expect(record.seen(on: 1).last == "\(SeenRequest.write) 4096" && client.connections.gate.isEmpty)
      client.close()
    }
  }

  // Rule 4
  @Test func theWaitForTheFenceIsBounded() async throws {
    let record = Record()
    let mayEnd = Moment()
    let server = try ScriptedServer { connection in
      if connection.number > 0 { return record.serve(connection) }
      _ = connection.request()
      connection.send(be32(0xdead_beef) + zeros(60))
      mayEnd.wait(seconds: 30)
    }
    try await onThread {
      let client = try connect(server, quiesce: .milliseconds(500))
      let before = ContinuousClock.now
      try client.write(pattern(512), at: 4096)
      #expect(ContinuousClock.now - before >= .milliseconds(500))
      #expect(record.seen(on: 1) == ["\(SeenRequest.write) 4096"])
      mayEnd.happened()
      client.close()
    }
  }

  // Rule 5
  @Test func anotherSizeIsRefusedAndEverythingFailsFromThenOn() async throws {
    var other = ScriptedServer.Offer()
    other.size = 1 << 19
    let server = try ScriptedServer([.init(), other]) { connection in
      if connection.number == 0 { _ = connection.request() } else { connection.serve() }
    }
    try await onThread {
      let client = try connect(server)
      let error = failure { () throws(NBDError) in _ = try client.read(at: 0, count: 512) }
      #expect("\(String(describing: error))".contains("its size is 524288 bytes, and was 1048576"))
      #expect(failure { () throws(NBDError) in try client.flush() } != nil && client.failure != nil)
      client.close()
    }
  }

  // Rule 5: contexts are matched by name; their numbers are the connection's own.
  @Test func contextsAreKnownByName() async throws {
    var first = ScriptedServer.Offer()
    first.replies = .structured
    var second = first
    second.context = 99
    let server = try ScriptedServer([first, second]) { connection in
      if connection.number == 0 { _ = connection.request() } else { connection.serve() }
    }
    try await onThread {
      let client = try connect(server)
      #expect(try client.blockStatus(at: 0, length: 4096).map(\.length) == [4096])
      client.close()
    }
  }

  @Test func timesOfAnyLengthAreGood() async throws {
    let record = Record()
    let server = try server(answering: 0, record)
    try await onThread {
      let client = try connect(server, timeout: .seconds(Int64.max), quiesce: .seconds(Int64.max))
      #expect(try client.read(at: 512, count: 512) == pattern(512, from: 512))
      client.close()
    }
  }

  // Rule 8
  @Test func theWaitForAServerIsBounded() async throws {
    var gone = ScriptedServer.Offer()
    gone.manner = .hangsUp
    let server = try ScriptedServer([.init(), gone]) { connection in _ = connection.request() }
    try await onThread {
      let client = try connect(server, timeout: .milliseconds(700))
      let before = ContinuousClock.now
      #expect(failure { () throws(NBDError) in _ = try client.read(at: 0, count: 512) } != nil)
      let time = ContinuousClock.now - before
      #expect(time >= .milliseconds(700))
      // At once from then on.
      let second = ContinuousClock.now
      #expect(failure { () throws(NBDError) in try client.write(pattern(512), at: 0) } != nil)
      #expect(ContinuousClock.now - second < .milliseconds(700))
      client.close()
    }
  }

  // A server that negotiates, takes a request and hangs up, again and again.
  @Test func aServerThatNeverAnswersAgainIsGivenUp() async throws {
    let server = try ScriptedServer { connection in _ = connection.request() }
    try await onThread {
      let client = try connect(server, timeout: .milliseconds(700))
      #expect(failure { () throws(NBDError) in _ = try client.read(at: 0, count: 512) } != nil)
      client.close()
    }
  }

  @Test func theEndOfAClientDoesNotWaitForAServerThatIsGone() async throws {
    var gone = ScriptedServer.Offer()
    gone.manner = .hangsUp
    let server = try ScriptedServer([.init(), gone]) { connection in _ = connection.request() }
    let client = try await onThread { try connect(server, timeout: nil) }
    async let read = onThread { failure { () throws(NBDError) in _ = try client.read(at: 0, count: 512) } }
    try await onThread {
      #expect(eventually { server.connectionCount >= 2 })
      client.close()
    }
    let error = try await read
    #expect(error != nil)
  }

  // Rule 14
  @Test func anotherWayIsTakenWhenTheFirstIsLost() async throws {
    let record = Record()
    var gone = ScriptedServer.Offer()
    gone.manner = .hangsUp
    let first = try ScriptedServer([.init(), gone]) { connection in
      connection.requests(1).forEach { connection.send(connection.answer($0)) }
      _ = connection.request()
    }
    let second = try ScriptedServer { record.serve($0) }
    try await onThread {
      let client = try connect(first, failover: ["nbd+unix:///?socket=\(second.path)"])
      try client.write(pattern(512), at: 512)
      #expect(try client.read(at: 0, count: 512) == pattern(512))
      #expect(record.seen(on: 0) == ["\(SeenRequest.write) 512", "\(SeenRequest.flush) 0", "\(SeenRequest.read) 0"])
      client.close()
    }
  }

  // Nobody reconnects: a loss is told, and the other connection goes on.
  @Test func aLossIsToldWhereNobodyReconnects() async throws {
    let server = try ScriptedServer { connection in
      if connection.number == 0 { _ = connection.request() } else { connection.serve() }
    }
    let isTold = Moment()
    try await onThread {
      var reconnecting = ConnectionSet.Reconnecting()
      reconnecting.window = 0
      reconnecting.report = { event in
        if case .lost(_, alive: 1, of: 2, isWaiting: false) = event { isTold.happened() }
      }
      let opened = try Opener(server.endpoint, HandshakeRequest(exportName: "")).openAll(wanted: 2)
      let set = try ConnectionSet(opened.connections, Reactor.Timing(), reconnecting)
      for _ in 0..<3 { try set.perform(Operation(.flush, token: Token(.mailbox, 0))) }
      #expect(isTold.wait())
      try set.perform(Operation(.flush, token: Token(.mailbox, 0)))
      set.stop()
    }
  }

  // Rule 11, with requests of many threads, and a server that is lost again and again.
  @Test(arguments: [1, 3]) func nothingIsLostOfManyRequestsWhileConnectionsBreak(connections: Int) async throws {
    let server = try ScriptedServer { connection in
      var left = 20 + connection.number * 7 % 40
      while let request = connection.request(), request.command != SeenRequest.disconnect {
        left -= 1
        guard left > 0 else { return }
        connection.send(connection.answer(request))
      }
    }
    let client = try await onThread { try connect(server, connections: connections) }
    let failures = Atomic<Int>(0)
    try await onThreads(6) { number in
      for step in 0..<150 {
        let offset = UInt64(number * 4096 + step * 16)
        let error = failure { () throws(NBDError) in
          if step % 5 == 0 { try client.flush() }
          if step % 2 == 0 { try client.write(pattern(16), at: offset) }
          if try client.read(at: offset, count: 16) != pattern(16, from: offset) { throw .invalidArgument("other data") }
        }
        if error != nil { failures.add(1, ordering: .relaxed) }
      }
    }
    #expect(failures.load(ordering: .relaxed) == 0 && client.failure == nil)
    try await onThread { client.close() }
  }
}
