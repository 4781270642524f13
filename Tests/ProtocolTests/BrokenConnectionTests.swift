import Glibc
import SystemPackage
import Testing

@testable import NBDProtocol

/// A connection that our own kernel gives up: it shows an end of the stream afterwards, which says nothing about the server.
@Suite(.timeLimit(.minutes(2))) struct BrokenConnectionTests {
  /// Milliseconds for which the kernel lets data wait for a server that does not read.
  private static let patience: UInt32 = 300
  private static let size = 64 << 20

  /// Both sides of a connection, over which more was written than the server's window has room for.
  private final class Writer {
    let server: OwnedDescriptor
    let gate = RangeGate(minimumBlock: 1)
    let epoll: Epoll
    let clock = SettableClock()
    var connection: Connection
    private let payload = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)

    init() throws {
      let listener = try Listener()
      let client = try ServerEndpoint(.tcp(host: "127.0.0.1", port: listener.port))
        .connect(deadline: .after(milliseconds: 10_000))
      server = try listener.accept()
      var limit = patience
      // TCP_USER_TIMEOUT
      try #require(setsockopt(client.rawValue, Int32(IPPROTO_TCP), 18, &limit, socklen_t(MemoryLayout<UInt32>.size)) == 0)
      epoll = try Epoll()
      connection = Connection(
        Channel(client), .test(.simple, size: UInt64(size)), leftover: [], patience: 60_000, log: nil, gate, epoll,
        .settable(clock))
      try connection.watch()
      payload.initializeMemory(as: UInt8.self, repeating: 1, count: size)
      let write = Operation(.write, length: UInt64(size), buffer: payload, token: Token(.mailbox, 0))
      let isTaken = connection.machine.submit(write)
      try #require(isTaken)
    }

    deinit { payload.deallocate() }

    /// Moves bytes until the connection is lost. Nil where it is not.
    func loss(isSendingFirst: Bool) -> (error: NBDError, isFenced: Bool)? {
      for _ in 0..<200 {
        for isSending in [isSendingFirst, !isSendingFirst] {
          let progress = isSending ? connection.send() : connection.receive()
          if case .lost(let error, let isFenced) = progress { return (error, isFenced) }
        }
        if epoll.wait(milliseconds: 100).contains(.socket) { connection.isReadable = true }
      }
      return nil
    }
  }

  // RB-055: what the server has received may still be carried out
  @Test(arguments: [true, false]) func whatTheKernelGivesUpIsHeldUntilTheTimeIsOver(isSendingFirst: Bool) async throws {
    try await onThread {
      let writer = try Writer()
      let loss = try #require(writer.loss(isSendingFirst: isSendingFirst))
      #expect(!loss.isFenced, "\(loss.error)")
      writer.connection.giveUp(isFenced: loss.isFenced, quiesce: 60_000_000_000)
      writer.connection.hangUp()
      #expect(writer.gate.blocks(0..<512))
      // Whatever the socket shows now.
      for _ in 0..<3 {
        let ready = writer.epoll.wait(milliseconds: 10)
        if ready.contains(.socket) { writer.connection.isReadable = true }
        while writer.connection.settle() {}
      }
      let isSettling = writer.connection.isSettling
      #expect(isSettling)
      #expect(writer.gate.blocks(0..<512), "it is held though the server has not hung up")
      writer.clock.now += 61_000_000_000
      _ = writer.connection.settle()
      #expect(!writer.gate.blocks(0..<512))
    }
  }
}
