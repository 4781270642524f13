import Glibc
import SystemPackage
import Testing

@testable import NBDProtocol

/// A TCP server that is slow, and one that is gone.
@Suite struct PeerWatchTests {
  private static let second: UInt64 = 1_000_000_000

  /// The seconds at which the peer is taken for gone, looked at every three, with `samples` as (owes a reply, seconds of quiet).
  private func verdict(_ samples: [(owes: Bool, quiet: UInt64)]) -> [Int] {
    var watch = PeerWatch(patience: 30_000)
    return samples.indices.filter { number in
      let sample = PeerWatch.Sample(owesReply: samples[number].owes, quiet: samples[number].quiet * Self.second)
      return watch.silence(sample, UInt64(1000 + 3 * number) * Self.second) != nil
    }.map { $0 * 3 }
  }

  @Test func whoOwesAReplyAndIsSilentIsGone() {
    #expect(verdict((0..<13).map { (true, UInt64(3 * $0)) }) == [30, 33, 36])
  }

  // Nothing was in flight for a minute: the quiet of that time says nothing.
  @Test func quietFromBeforeDoesNotCount() {
    #expect(verdict((0..<10).map { (true, UInt64(60 + 3 * $0)) }) == [])
  }

  @Test func anySignOfLifeBeginsTheTimeAgain() {
    #expect(verdict((0..<30).map { (true, UInt64(3 * ($0 % 9))) }) == [])
  }

  // A closed window is probed at growing distances: a look right after a probe finds one unanswered and a minute of quiet.
  @Test func answeredProbesAreALife() {
    let looks: [(owes: Bool, quiet: UInt64)] = (0..<60).map { number in
      let isProbed = number % 20 == 0
      return (isProbed, isProbed ? 60 : UInt64(number % 20) * 3)
    }
    #expect(verdict(looks) == [])
  }

  // MARK: Over real sockets

  /// Both ends of a TCP connection, the first as the client makes it.
  private func connect() throws -> (client: OwnedDescriptorBox, server: OwnedDescriptorBox) {
    let listener = try Listener()
    let client = try ServerEndpoint(.tcp(host: "127.0.0.1", port: listener.port))
      .connect(deadline: .after(milliseconds: 10_000))
    return (OwnedDescriptorBox(client), OwnedDescriptorBox(try listener.accept()))
  }

  private final class OwnedDescriptorBox: Sendable {
    let number: Int32
    init(_ descriptor: consuming OwnedDescriptor) { number = descriptor.release() }
    deinit { close(number) }
  }

  /// The connection with its reactor, which gives up after half a second.
  private func drive(_ client: OwnedDescriptorBox, leftover: [UInt8] = []) throws -> ConnectionSet {
    let socket = OwnedDescriptor(dup(client.number))
    let connection = NegotiatedConnection(Channel(socket), .test(.simple, size: 64 << 20), leftover: leftover, notes: [])
    var timing = Reactor.Timing()
    timing.patience = 500
    return try ConnectionSet([connection], timing)
  }

  /// From here on the socket's kernel drops what comes for it and answers nothing, as if its machine had lost its power.
  private func silence(_ socket: Int32) throws {
    struct Instruction {
      var code: UInt16 = 0x06  // BPF_RET: with 0, drop
      var jumps: UInt16 = 0
      var value: UInt32 = 0
    }
    struct Program {
      var count: UInt16 = 1
      var instructions: UnsafeMutablePointer<Instruction>
    }
    var instruction = Instruction()
    try withUnsafeMutablePointer(to: &instruction) { pointer in
      var program = Program(instructions: pointer)
      let result = setsockopt(
        socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, socklen_t(MemoryLayout<Program>.size))
      try #require(result == 0)
    }
  }

  @Test(.timeLimit(.minutes(2))) func aPeerThatIsGoneIsNoticed() async throws {
    try await onThread {
      let (client, server) = try connect()
      let connections = try drive(client)
      try silence(server.number)
      let (outcome, _) = connections.run(Operation(.flush, token: Token(.mailbox, 0)))
      #expect(outcome == .connectionLost)
      #expect("\(String(describing: connections.failure))".contains("acknowledged nothing"))
      connections.stop()
    }
  }

  // Writes fill the window, and the server reads nothing for three times the patience.
  @Test(.timeLimit(.minutes(2))) func aServerThatIsSlowToReadIsWaitedFor() async throws {
    let (client, server) = try connect()
    let connections = try await onThread { try drive(client) }
    async let outcome = onThread {
      let payload = [UInt8](repeating: 7, count: 32 << 20)
      return payload.withUnsafeBytes {
        let data = UnsafeMutableRawPointer(mutating: $0.baseAddress)
        return connections.run(
          Operation(.write, length: UInt64($0.count), buffer: data, token: Token(.mailbox, 0))
        ).0
      }
    }
    try await onThread {
      var header = [UInt8](repeating: 0, count: 28)
      #expect(recv(server.number, &header, 28, Int32(MSG_WAITALL)) == 28)
      // Time itself is what is tested here.
      usleep(1_500_000)
      var left = 32 << 20
      var buffer = [UInt8](repeating: 0, count: 1 << 20)
      while left > 0 {
        let count = recv(server.number, &buffer, min(buffer.count, left), 0)
        try #require(count > 0)
        left -= count
      }
      let reply = Reply.simple(header[8..<16].reduce(0) { $0 << 8 | UInt64($1) })
      #expect(send(server.number, reply, reply.count, Int32(MSG_NOSIGNAL)) == reply.count)
    }
    #expect(try await outcome == .success)
    #expect(connections.isAlive)
    shutdown(server.number, Int32(SHUT_RDWR))
    try await onThread { connections.stop() }
  }

  // What a server says right after the negotiation is looked at at once, and not with the first reply.
  @Test(.timeLimit(.minutes(2))) func leftoverBytesAreParsedAtOnce() async throws {
    try await onThread {
      let (client, server) = try connect()
      let connections = try drive(client, leftover: zeros(16))
      var byte: UInt8 = 0
      #expect(recv(server.number, &byte, 1, 0) == 0, "the client hangs up")
      guard case .violation = connections.failure else {
        Issue.record("expected a violation, got \(String(describing: connections.failure))")
        return
      }
      connections.stop()
    }
  }
}
