import CFuse3
import Glibc
import NBDProtocol
import Synchronization

/// `--engine threads`: a request waits in the libfuse worker thread that read it.
///
/// The classic shape, and the easiest to follow:
///
///     kernel            libfuse worker thread                     reactor thread         server
///       │  FUSE_READ      │                                         │                      │
///       ├────────────────>│ FuseOperations, RequestHandler: parts   │                      │
///       │                 │ ExportFile.read ──> .ask(Operation)     │                      │
///       │                 │ ThreadsEngine.carryOut                  │                      │
///       │                 │ ConnectionSet.run ─────────────────────>│  NBD_CMD_READ        │
///       │                 │   sleeps on its semaphore               ├─────────────────────>│
///       │                 │                                         │<─────────────────────┤
///       │                 │<────────────────────────────────────────┤  whose handle is it? │
///       │                 │ ExportFile.proceed ──> .reply(Answer)   │
///       │<────────────────┤ FuseReply.answer
///
/// A worker has all that it needs for itself: the semaphore it sleeps on is part of what it submits, libfuse gives it the buffer
/// that holds the payload of a write, and ``ReadBuffer`` is where the reactor puts the data of a read. So the two threads meet in
/// the mailbox and at the semaphore only, no lock is shared, and we allocate nothing for a request.
///
/// **Memory.** There are at most ``workers`` threads with two buffers of ``largestRequest`` bytes each. What is beyond that is not
/// read, and waits in the kernel.
///
/// **Callers that are killed.** Whoever waits looks now and then whether its caller is being killed, and then answers the kernel
/// at once, so that the caller can go. The server may still do what it was asked for. So the worker stays with the operation:
/// its buffer is needed, what overlaps a write must not be sent before it, and what becomes of a flush has to be known. It is *lent*
/// until the server answers. There have to be others then, for what else a dying process asks for. So the kernel sends at most
/// ``backgroundRequests`` of those that no signal can take back: where it may send no more, whoever wants to waits in a way that can
/// be killed. And while a worker is lent, the others look before they ask: the flushes of files that are closed by dying
/// processes take no worker each.
final class ThreadsEngine: Sendable {
  /// libfuse's threads, and so the requests at one time.
  static let workers: UInt32 = 64
  /// Largest request in bytes, both ways. What a program asks for at once comes as several of them, which are under way
  /// together.
  static let largestRequest: UInt32 = 256 << 10
  /// Requests that the kernel sends before the first of them is answered, of those that no process waits for itself: read-ahead,
  /// writeback, asynchronous direct I/O.
  private static let backgroundRequests: UInt32 = 48

  /// The same where a person has asked for `wanted` of them, or for another number of workers: some workers are left for what a
  /// dying process asks for, as long as there are several.
  static func backgroundRequests(_ wanted: UInt32?, workers: UInt32) -> UInt32 {
    min(wanted ?? backgroundRequests, max(workers / 4 * 3, 1))
  }

  private let file: ExportFile
  private let connections: ConnectionSet
  /// Calls that were answered because their callers were killed, and are not over.
  private let lent = Atomic<Int>(0)

  init(_ file: ExportFile, _ connections: ConnectionSet) {
    self.file = file
    self.connections = connections
  }

  /// Carries a request out and answers it. Blocks until the server has answered; a caller that is killed goes before.
  func carryOut(_ first: FileRequest.Step, _ reply: consuming FuseReply) {
    var call = Call(reply)
    var step = first
    // Once for most requests. A seek may have to ask several times.
    while case .ask(let request, var operation) = step {
      if operation.command == .read { operation.buffer = ReadBuffer.ofThisThread(Int(operation.length)) }
      let (outcome, extents) = outcome(of: operation, for: &call)
      step = file.proceed(request, outcome, extents, data: operation.buffer)
    }
    if call.isAnswered {
      lent.subtract(1, ordering: .relaxed)
    } else if case .reply(let answer) = step {
      call.answer(answer)
    }
  }

  /// Waits for the outcome. Where the caller is being killed, the call is answered before that has come.
  private func outcome(of operation: Operation, for call: inout Call) -> (Outcome, [[Extent]]) {
    if operation.command == .read, operation.buffer == nil { return (.failed(.noMemory), []) }
    // Of a call that is answered already, nobody is left to ask for more.
    if !call.isAnswered, call.hasLostItsCaller(atOnce: lent.load(ordering: .relaxed) > 0) { letGo(&call) }
    if call.isAnswered { return (.abandoned, []) }
    return connections.run(operation, isGone: { call.hasLostItsCaller(atOnce: false) }, gone: { letGo(&call) })
  }

  /// Lets the caller go, that is being killed.
  private func letGo(_ call: inout Call) {
    lent.add(1, ordering: .relaxed)
    call.answer(.error(EINTR))
  }
}

/// What a worker knows of the request that it has in hand.
private struct Call: ~Copyable {
  private let caller: pid_t
  private var reply: FuseReply?
  /// Counted from the arrival of the request, however often the server is asked for it.
  private var nextLook: Deadline

  init(_ reply: consuming FuseReply) {
    caller = fuse_req_ctx(reply.request).pointee.pid
    nextLook = .after(milliseconds: Int(watchMilliseconds))
    self.reply = consume reply
  }

  var isAnswered: Bool { reply == nil }

  mutating func answer(_ answer: FileRequest.Answer) {
    if let reply = reply.take() { reply.answer(answer) }
  }

  /// Whether the caller is being killed, where it is time to look.
  ///
  /// - Parameter atOnce: it is.
  mutating func hasLostItsCaller(atOnce: Bool) -> Bool {
    guard atOnce || nextLook.hasPassed else { return false }
    nextLook = .after(milliseconds: Int(watchMilliseconds))
    return CallerWatch.isBeingKilled(caller)
  }
}

/// Where a worker thread receives what it reads. It is the thread's own, and goes with it: libfuse may end idle workers.
private enum ReadBuffer {
  private static let size = Int(ThreadsEngine.largestRequest)

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key) { buffer in
      if let buffer { munmap(buffer, ReadBuffer.size) }
    }
    return key
  }()

  /// Nil where there is no memory, or the kernel asks for more than was agreed.
  static func ofThisThread(_ count: Int) -> UnsafeMutableRawPointer? {
    guard count <= size else { return nil }
    if let buffer = pthread_getspecific(key) { return buffer }
    let buffer = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard buffer != MAP_FAILED, pthread_setspecific(key, buffer) == 0 else { return nil }
    return buffer
  }
}
