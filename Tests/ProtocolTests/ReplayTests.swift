import Glibc
import SystemPackage
import Testing

@testable import NBDProtocol

/// The write log, sent again to a server that takes its time.
@Suite(.timeLimit(.minutes(2))) struct ReplayTests {
  /// What becomes of a log with one write, at a server that answers the write at once and the flush when it may.
  ///
  /// - Parameters:
  ///   - patience: nanoseconds; nil for ever.
  ///   - mayAnswer: the flush.
  ///   - isWanted: see ``Replay``.
  private func replay(
    patience: UInt64?, mayAnswer: Moment, isWanted: () -> Bool
  ) throws -> (result: Replay.Result, traffic: UInt64) {
    let log = try WriteLog(capacity: 1 << 20)
    let export = Export.test(.simple)
    var session = MachineSession(export, log: log)
    session.submit(.write(4096, pattern(512)))
    for request in session.requests() { session.receive(Reply.simple(request.handle)) }
    let reactor = try Reactor(export, RangeGate(minimumBlock: 1), Link(log: log))
    let ends = try Syscall.socketpair()
    let far = ends.far.rawValue
    let server = try POSIXThread.start("a slow server") {
      var reader = RequestReader()
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = recv(far, &buffer, buffer.count, 0)
        guard count > 0 else { return }
        reader.append(buffer.prefix(count))
        while let request = reader.next() {
          if request.command == SeenRequest.flush { mayAnswer.wait() }
          let reply = Reply.simple(request.handle)
          guard send(far, reply, reply.count, Int32(MSG_NOSIGNAL)) == reply.count else { return }
        }
      }
    }
    let near = try Syscall.duplicate(ends.near.rawValue, atLeast: 0)
    let connection = NegotiatedConnection(Channel(near), export, leftover: [], notes: [])
    let result = withoutActuallyEscaping(isWanted) { isWanted in
      var replay = Replay(for: reactor, patience: patience, isWanted: isWanted)
      return replay.run(log, over: connection)
    }
    mayAnswer.happened()
    shutdown(ends.near.rawValue, Int32(SHUT_RDWR))
    pthread_join(server, nil)
    return (result, reactor.traffic.load(ordering: .relaxed))
  }

  /// It is looked after three times and waited for on.
  @Test func aSlowFlushIsWaitedFor() async throws {
    try await onThread {
      let mayAnswer = Moment()
      var looks = 0
      let (result, traffic) = try replay(patience: nil, mayAnswer: mayAnswer) {
        looks += 1
        if looks == 3 { mayAnswer.happened() }
        return true
      }
      guard case .sent(_, 1) = result else {
        Issue.record("\(result)")
        return
      }
      #expect(looks >= 3)
      // Whoever waits for the end of a mount sees that there is somebody.
      #expect(traffic > 0)
    }
  }

  @Test func aServerThatIsSilentForTooLongIsGivenUp() async throws {
    try await onThread {
      let (result, _) = try replay(patience: 1, mayAnswer: Moment()) { true }
      guard case .failed(.timedOut, nil) = result else {
        Issue.record("\(result)")
        return
      }
    }
  }

  @Test func nobodyIsWaitedForAfterTheEnd() async throws {
    try await onThread {
      let (result, _) = try replay(patience: nil, mayAnswer: Moment()) { false }
      guard case .failed(.disconnected, nil) = result else {
        Issue.record("\(result)")
        return
      }
    }
  }
}
