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
  private let callers: CallerWatch

  init(_ file: ExportFile, _ connections: ConnectionSet) throws(NBDError) {
    self.file = file
    self.connections = connections
    callers = try CallerWatch()
  }

  /// Carries a request out and answers it. Blocks.
  func carryOut(_ first: FileRequest.Step, _ reply: consuming FuseReply) {
    var step = first
    var buffer: (start: UnsafeMutableRawPointer, count: Int)?
    while case .ask(let request, var operation) = step {
      if operation.command == .read {
        let count = Int(operation.length)
        let taken = buffers.withLock { UInt(bitPattern: $0.take(count)) }
        operation.buffer = UnsafeMutableRawPointer(bitPattern: taken)
        buffer = operation.buffer.map { ($0, count) }
      }
      let (outcome, extents) = run(operation, for: reply.request)
      step = file.proceed(request, outcome, extents)
    }
    guard case .reply(let answer) = step else { return reply.error(EIO) }
    reply.answer(answer, data: buffer.map { UnsafeRawPointer($0.start) })
    if let buffer {
      let start = UInt(bitPattern: buffer.start)
      buffers.withLock { pool in
        if let start = UnsafeMutableRawPointer(bitPattern: start) { pool.give(start, buffer.count) }
      }
    }
  }

  /// Waits for the outcome, unless the process that asked is killed before it comes.
  private func run(_ operation: Operation, for request: fuse_req_t) -> (Outcome, [[Extent]]) {
    let process = fuse_req_ctx(request).pointee.pid
    return withUnsafeTemporaryAllocation(of: CallerWatch.Call.self, capacity: 1) { storage in
      guard let call = storage.baseAddress else { return (.connectionLost, []) }
      return connections.run(
        operation,
        interruptible: { canceller in
          call.initialize(to: CallerWatch.Call(process: process, canceller: canceller))
          callers.add(call)
        },
        settled: {
          callers.forget(call)
          call.deinitialize(count: 1)
        })
    }
  }
}
