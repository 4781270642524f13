import CFuse3
import Glibc
import NBDProtocol
import Synchronization

/// `--engine threads`: a request waits in the libfuse worker thread that read it.
///
/// The classic shape, and the easiest to follow: the thread submits an operation, the connection's reactor matches the
/// reply's handle and wakes the thread, the thread answers the kernel.
final class ThreadsEngine: Sendable {
  private let file: ExportFile
  private let connections: ConnectionSet
  private let buffers = Mutex(BufferPool(limit: 64 << 20))

  init(_ file: ExportFile, _ connections: ConnectionSet) {
    self.file = file
    self.connections = connections
  }

  /// Carries a request out and answers it. Blocks until the server has answered; a caller who is killed is answered at once.
  func carryOut(_ first: FileRequest.Step, _ reply: consuming FuseReply) {
    var caller = WaitingCaller(fuse_req_ctx(reply.request).pointee.pid)
    // Nil once it is answered.
    var reply: FuseReply? = reply
    var step = first
    var buffer: (start: UnsafeMutableRawPointer, count: Int)?
    while case .ask(let request, var operation) = step {
      if operation.command == .read {
        let count = Int(operation.length)
        let taken = buffers.withLock { UInt(bitPattern: $0.take(count)) }
        operation.buffer = UnsafeMutableRawPointer(bitPattern: taken)
        buffer = operation.buffer.map { ($0, count) }
      }
      let (outcome, extents) = connections.run(
        operation, isGone: { caller.isBeingKilled() }, gone: { reply.take()?.error(EINTR) })
      step = file.proceed(request, outcome, extents)
      // A seek goes on. Each answer may be quick, and the search without an end.
      if case .ask(let next, _) = step, reply == nil || caller.isBeingKilled() { step = file.proceed(next, .abandoned) }
    }
    if let reply = reply.take(), case .reply(let answer) = step {
      reply.answer(answer, data: buffer.map { UnsafeRawPointer($0.start) })
    }
    if let buffer {
      let start = UInt(bitPattern: buffer.start)
      buffers.withLock { pool in
        if let start = UnsafeMutableRawPointer(bitPattern: start) { pool.give(start, buffer.count) }
      }
    }
  }
}

/// The caller of one request, who is looked at now and then: see ``CallerWatch``.
private struct WaitingCaller {
  private let process: pid_t
  /// Nanoseconds, when it is looked at next.
  private var next: UInt64

  private static var interval: UInt64 { UInt64(watchMilliseconds) * 1_000_000 }

  init(_ process: pid_t) {
    self.process = process
    next = MonotonicClock.now + Self.interval
  }

  /// Whether it is being killed, where it was not looked at for a while.
  mutating func isBeingKilled() -> Bool {
    let now = MonotonicClock.now
    guard now >= next else { return false }
    next = now + Self.interval
    return CallerWatch.isBeingKilled(process)
  }
}
