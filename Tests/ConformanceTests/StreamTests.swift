import Glibc
import NBDProtocol
import Testing

@testable import NBDConformance

/// What is read, how much of it is kept, and for how long it is waited.
@Suite(.serialized) struct StreamTests {
  /// Calls `use` with our end of a connection, on a thread of its own, while another one calls `act` with the server's.
  private func talk(
    _ act: @escaping @Sendable (Int32) -> Void, _ use: @escaping @Sendable (Int32) -> String
  ) async throws -> String? {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
    let (ours, theirs) = (ends[0], ends[1])
    _ = fcntl(ours, F_SETFL, O_NONBLOCK)
    try POSIXThread.startDetached("a server") {
      act(theirs)
      close(theirs)
    }
    return await inParallel([ours]) { [use($0)] }.first
  }

  /// A server that takes nothing any more, after it has said as much as its socket holds.
  @Test func whatFollowsWhenNothingCanBeSentIsBounded() async throws {
    let most = 1 << 16
    let result = try await talk { socket in
      let piece = [UInt8](repeating: 1, count: 1 << 12)
      while send(socket, piece, piece.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) > 0 {}
      shutdown(socket, Int32(SHUT_RD))
      usleep(200_000)
    } _: { socket in
      let stream = ByteStream(OwnedDescriptor(socket), patience: 1000, deadline: .after(milliseconds: 20_000), bound: most)
      // Until the other side has said that it takes nothing.
      while (try? stream.send([1])) == true { usleep(1000) }
      // That, and no more than one system call gives.
      let count = stream.rest(1 << 22).count
      return count >= most && count < most + 1 << 16 ? "bounded" : "\(count) bytes"
    }
    #expect(result == "bounded")
  }

  /// Each byte comes in time, and all of them do not.
  @Test func theEndOfAChecksTimeIsNoSilence() async throws {
    let result = try await talk { socket in
      var byte: UInt8 = 1
      while send(socket, &byte, 1, Int32(MSG_NOSIGNAL)) == 1 { usleep(5000) }
    } _: { socket in
      var settings = Settings()
      settings.timeout = 100
      settings.checkLimit = 400
      let session = Session(OwnedDescriptor(socket), settings, deadline: .after(milliseconds: 400), Transcript(), RuleBook())
      do { return "\(try session.receive(1 << 20, "the greeting").count) bytes" } catch {
        return (error as? Finding)?.found ?? "\(error)"
      }
    }
    #expect(result?.hasSuffix("bytes of it when the check's own time, 400 ms, was over") ?? false, "\(result ?? "nothing")")
  }

  /// Many chunks and as many errors: all against all would take minutes.
  @Test func aReplyOfManyErrorsIsJudgedInTime() async throws {
    let result = try await talk { _ in usleep(1000) } _: { socket in
      let session = Session(OwnedDescriptor(socket), Settings(), deadline: .never, Transcript(), RuleBook())
      var chunks = (0..<20_000).map { Chunk(type: .offsetData, flags: 0, payload: be(UInt64($0)) + [1]) }
      let error = be(UInt32(5)) + be(UInt16(0))
      chunks += (0..<20_000).map { Chunk(type: .errorOffset, flags: 0, payload: error + be(UInt64($0))) }
      let start = MonotonicClock.now
      session.note(
        whole: Reply(form: .structured, chunks: chunks), PendingRequest(type: Cmd.read, flags: 0, offset: 0, length: 20_000))
      return (MonotonicClock.now - start) / 1_000_000_000 < 30 ? "in time" : "late"
    }
    #expect(result == "in time")
  }
}
