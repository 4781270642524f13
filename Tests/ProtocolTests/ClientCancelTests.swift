import Glibc
import Synchronization
import Testing

@testable import NBDProtocol

/// Abandoning an operation from another thread.
@Suite struct ClientCancelTests {
  /// A thread that cancels what it is given, as a mount does with an interrupted request.
  private final class Interrupter: Sendable {
    private let canceller = Mutex<UncheckedCanceller?>(nil)

    private struct UncheckedCanceller: @unchecked Sendable {
      // Only used while the operation's owner keeps it in place: taken out under the lock before it goes.
      let value: Canceller
    }

    let isArmed = Moment()

    func arm(_ value: Canceller) {
      canceller.withLock { $0 = UncheckedCanceller(value: value) }
      isArmed.happened()
    }

    /// Waits for a cancellation that is under way, since it holds the lock.
    func disarm() { canceller.withLock { $0 = nil } }

    /// True where there was something to cancel.
    @discardableResult
    func cancel() -> Bool {
      canceller.withLock { armed in
        armed?.value.cancel()
        return armed != nil
      }
    }
  }

  private func read(_ client: NBDClient, _ buffer: UnsafeMutableRawBufferPointer, _ interrupter: Interrupter) -> Outcome {
    client.connections.run(
      Operation(.read, offset: 0, length: UInt64(buffer.count), buffer: buffer.baseAddress, token: Token(.mailbox, 0)),
      interruptible: { interrupter.arm($0) }, settled: { interrupter.disarm() }
    ).0
  }

  @Test func aCancelledReadReturnsThoughTheServerHangs() async throws {
    let isAsked = Moment()
    let mayAnswer = Moment()
    let server = try ScriptedServer { connection in
      guard let first = connection.request() else { return }
      isAsked.happened()
      mayAnswer.wait()
      // The late reply belongs to nobody, and is no violation.
      connection.send(connection.answer(first))
      connection.serve()
    }
    let client = try await onThread { try server.client() }
    let interrupter = Interrupter()
    async let result = onThread { () -> Outcome in
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 100_000, alignment: 16)
      defer { buffer.deallocate() }
      return self.read(client, buffer, interrupter)
    }
    try await onThread {
      // The server may have the request before its owner has gone on to say how to cancel it.
      #expect(isAsked.wait() && interrupter.isArmed.wait())
      let isCancelled = interrupter.cancel()
      #expect(isCancelled)
    }
    #expect(try await result == .abandoned)
    try await onThread {
      mayAnswer.happened()
      let data = try client.read(at: 8, count: 8)
      #expect(data == pattern(8, from: 8))
      client.close()
    }
  }

  // A cancellation finds its operation wherever it is: in the mailbox, in the machine, or done.
  @Test func aCancellationIsNeverOvertaken() async throws {
    let server = try ScriptedServer { connection in
      // Answers flushes only, one for each thread: a read ends by its cancellation or not at all.
      var flushes = 0
      while flushes < 4, let request = connection.request() {
        guard request.command == SeenRequest.flush else { continue }
        connection.send(connection.answer(request))
        flushes += 1
      }
    }
    let client = try await onThread { try server.client() }
    try await onThreads(4) { _ in
      var byte: UInt8 = 0
      withUnsafeMutableBytes(of: &byte) { buffer in
        for _ in 0..<200 {
          // Cancelled at once, on the way in.
          let (outcome, _) = client.connections.run(
            Operation(.read, length: 1, buffer: buffer.baseAddress, token: Token(.mailbox, 0)),
            interruptible: { $0.cancel() })
          if outcome != .abandoned { Issue.record("\(outcome)") }
        }
      }
      if let error = failure({ () throws(NBDError) in try client.flush() }) { Issue.record("\(error)") }
    }
    try await onThread { client.close() }
  }

  // Races: each operation ends once, as a success with its data or as abandoned.
  @Test func cancellationStorms() async throws {
    let server = try ScriptedServer(.init(replies: .structured)) { $0.serve() }
    let client = try await onThread { try server.client() }
    let abandoned = Atomic<Int>(0)
    let done = Atomic<Int>(0)
    try await onThreads(4) { number in
      let interrupter = Interrupter()
      let isOver = Atomic<Bool>(false)
      let ended = Moment()
      let storm = try? POSIXThread.start("a storm") {
        while !isOver.load(ordering: .acquiring) { if !interrupter.cancel() { sched_yield() } }
        ended.happened()
      }
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
      defer { buffer.deallocate() }
      for _ in 0..<300 {
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        switch self.read(client, buffer, interrupter) {
        case .success:
          done.add(1, ordering: .relaxed)
          if !buffer.elementsEqual(pattern(4096)) { Issue.record("a success without its data") }
        case .abandoned: abandoned.add(1, ordering: .relaxed)
        case let outcome: Issue.record("\(outcome)")
        }
      }
      isOver.store(true, ordering: .releasing)
      ended.wait()
      if let storm { pthread_join(storm, nil) }
    }
    #expect(abandoned.load(ordering: .relaxed) + done.load(ordering: .relaxed) == 1200)
    try await onThread {
      #expect(client.failure == nil)
      client.close()
    }
  }

  // TX-093
  @Test func aCancelledWriteKeepsTheStreamInStep() async throws {
    let hasHeader = Moment()
    let mayRead = Moment()
    let count = 8 << 20
    let server = try ScriptedServer(.init(size: 64 << 20)) { connection in
      guard let write = connection.header() else { return }
      hasHeader.happened()
      mayRead.wait()
      let payload = connection.receive(Int(write.length))
      #expect(payload?.allSatisfy { $0 == 3 } == true, "the payload of a cancelled write was not its own")
      connection.send(connection.success(write))
      connection.serve()
    }
    let client = try await onThread { try server.client() }
    let interrupter = Interrupter()
    async let result = onThread { () -> Outcome in
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
      buffer.initializeMemory(as: UInt8.self, repeating: 3)
      let (outcome, _) = client.connections.run(
        Operation(.write, length: UInt64(count), buffer: buffer.baseAddress, token: Token(.mailbox, 0)),
        interruptible: { interrupter.arm($0) }, settled: { interrupter.disarm() })
      buffer.initializeMemory(as: UInt8.self, repeating: 0xdd)
      buffer.deallocate()
      return outcome
    }
    try await onThread {
      #expect(hasHeader.wait() && interrupter.isArmed.wait())
      let isCancelled = interrupter.cancel()
      #expect(isCancelled)
    }
    #expect(try await result == .abandoned)
    try await onThread {
      mayRead.happened()
      try client.flush()
      client.close()
    }
  }
}
