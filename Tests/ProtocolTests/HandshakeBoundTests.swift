import Glibc
import SystemPackage
import Testing

@testable import NBDProtocol

/// Bounds on what a server may say about metadata contexts, and on the time that it may take.
@Suite struct HandshakeBoundTests {
  /// The answers to structured replies, contexts and GO, as a server sends them.
  private func conversation(_ contexts: [UInt8]) -> [UInt8] {
    join(
      Server.greeting(), Server.error(11, 1), Server.ack(8), contexts, Server.ack(10),
      Server.infoExport(size: 1 << 20, flags: 1), Server.ack(7))
  }

  private func export(_ contexts: [UInt8]) throws -> Export? {
    var machine = try HandshakeMachine(HandshakeRequest())
    try machine.receive(conversation(contexts).span.bytes)
    guard case .transmission(let export) = machine.outcome else { return nil }
    return export
  }

  @Test func contextsAreFew() throws {
    let many = { (count: Int) in (0..<count).flatMap { Server.context(10, id: UInt32($0), "x:\($0)") } }
    #expect(try export(many(64))?.contexts.count == 64)
    #expect(throws: NBDError.self) { try export(many(65)) }
  }

  // Composed and decomposed letters are equal to Swift, and are two names to a server.
  @Test func namesAreComparedByteForByte() throws {
    let composed = "x:\u{e9}"
    let decomposed = "x:e\u{301}"
    #expect(composed == decomposed)
    let export = try export(Server.context(10, id: 1, composed) + Server.context(10, id: 2, decomposed))
    #expect(export?.context(named: composed)?.id == 1)
    #expect(export?.context(named: decomposed)?.id == 2)
    #expect(throws: NBDError.self) { try self.export(Server.context(10, id: 1, "x:y") + Server.context(10, id: 2, "x:y")) }
  }

  // All the answers lie ready, so that nothing is ever waited for.
  @Test(arguments: [true, false]) func theDeadlineCountsWhileBytesKeepComing(isOver: Bool) throws {
    let ends = try Syscall.socketpair()
    try Syscall.setNonBlocking(ends.near.rawValue)
    let bytes = conversation(Server.context(10, id: 1, "base:allocation"))
    #expect(send(ends.far.rawValue, bytes, bytes.count, 0) == bytes.count)
    let deadline = Deadline.after(milliseconds: isOver ? 0 : 10_000)
    var channel = Channel(try Syscall.duplicate(ends.near.rawValue, atLeast: 0))
    if isOver {
      let error = #expect(throws: NBDError.self) {
        _ = try Negotiator.run(HandshakeRequest(), nil, over: &channel, until: deadline)
      }
      guard case .timedOut = error else {
        Issue.record("expected a timeout, got \(String(describing: error))")
        return
      }
    } else {
      #expect(throws: Never.self) { _ = try Negotiator.run(HandshakeRequest(), nil, over: &channel, until: deadline) }
    }
  }
}
