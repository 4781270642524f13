import Foundation
import Glibc
import Synchronization
import Testing

@testable import NBDProtocol

/// A server that does not hang up after the disconnect, and what comes meanwhile.
@Suite(.timeLimit(.minutes(2))) struct ClientHangUpTests {
  /// A client of two connections that is ending. The server lets the first one wait for its end until the test is over, and the
  /// second one until it is let go.
  private struct Waiting {
    let connections: ConnectionSet
    /// Where the kernel tells of the reactors' threads, below /proc.
    let threads: [String]
    let secondMayEnd: Moment
  }

  private static func withClientThatWaits<Value: Sendable>(
    _ body: @escaping @Sendable (Waiting) throws -> Value
  ) async throws -> Value {
    let isDisconnected = Moment()
    let firstMayEnd = Moment()
    let secondMayEnd = Moment()
    let server = try ScriptedServer { connection in
      guard connection.serve(), connection.request() == nil else { return }
      isDisconnected.happened()
      (connection.number == 0 ? firstMayEnd : secondMayEnd).wait(seconds: 30)
    }
    return try await onThread {
      defer {
        firstMayEnd.happened()
        secondMayEnd.happened()
      }
      let opened = try Opener(server.endpoint, HandshakeRequest(exportName: "")).openAll(wanted: 2)
      let threads = Mutex(["", ""])
      let connections = try ConnectionSet(opened.connections) { index in
        let thread = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
        threads.withLock { $0[index] = thread ?? "" }
        return nil
      }
      connections.requestStop()
      for _ in 0..<2 { try #require(isDisconnected.wait()) }
      let value = try body(Waiting(connections: connections, threads: threads.withLock { $0 }, secondMayEnd: secondMayEnd))
      firstMayEnd.happened()
      secondMayEnd.happened()
      connections.stop()
      return value
    }
  }

  /// How often a thread of this process has gone to sleep; nil where it has ended.
  private static func sleeps(_ thread: String) -> Int? {
    let status = try? String(contentsOfFile: "/proc/\(thread)/status", encoding: .utf8)
    let line = status?.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches:") }
    return line.flatMap { Int($0.split(separator: "\t").last ?? "") }
  }

  // D11: the loss of another connection is news for the mailbox, and a thread with news does not sleep.
  @Test func aReactorThatWaitsSleepsWhateverComes() async throws {
    let sleeps = try await Self.withClientThatWaits { waiting in
      waiting.secondMayEnd.happened()
      guard eventually({ Self.sleeps(waiting.threads[1]) == nil }) else { return 0 }
      let before = Self.sleeps(waiting.threads[0]) ?? 0
      _ = eventually { Self.sleeps(waiting.threads[0]) ?? .max >= before + 3 }
      return (Self.sleeps(waiting.threads[0]) ?? 0) - before
    }
    #expect(sleeps >= 3)
  }

  @Test func whoComesMeanwhileIsToldAtOnce() async throws {
    let (isTold, outcome) = try await Self.withClientThatWaits { waiting in
      var pending = PendingOperation(Operation(.flush, token: Token(.mailbox, 0)), waiter: .thread)
      let isTold = withUnsafeMutablePointer(to: &pending) { pointer in
        sem_init(&pointer.pointee.semaphore, 0, 0)
        pointer.pointee.operation.token = pointer.token
        waiting.connections.reactors[0].submit(pointer)
        let isTold = sem_trywait(&pointer.pointee.semaphore) == 0
        // The reactor has it, and it must not go before.
        if !isTold { waitForSemaphore(&pointer.pointee.semaphore) }
        sem_destroy(&pointer.pointee.semaphore)
        return isTold
      }
      return (isTold, pending.outcome)
    }
    #expect(isTold && outcome == .connectionLost)
  }
}
