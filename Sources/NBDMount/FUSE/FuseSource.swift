import CFuse3
import Glibc
import NBDProtocol
import SystemPackage

/// `--engine reactor`: one reactor's own clone of `/dev/fuse`.
///
/// Theory of operation. The reactor reads requests here, as many as have come, and submits their operations, which go out in
/// one send; and when the replies come, it answers the kernel from here, a read that came whole straight from the receive
/// buffer. Nothing is handed to another thread, nobody waits, and nothing is allocated.
///
/// Memory is bounded by not reading: a request that has not been read waits in the kernel. What becomes of that where nothing is
/// answered any more: FuseSource+Memory.swift.
final class FuseSource: RequestSource {
  /// Requests that are read in one turn, so that replies get their turn too.
  private static let batch = 64
  /// A read above this size, in bytes, gets its buffer before it is sent. It is received in place.
  static let largestUnbuffered = 64 * 1024
  /// Reads of the device that may fail in a row, and microseconds after each.
  private static let mostFailedReads = 1000
  private static let pause: UInt32 = 1000

  private let engine: ReactorEngine
  /// The session of the clone.
  private let session: FuseSession
  private let handler: RequestHandler
  private let device: Int32
  var slots = RequestSlots()
  var buffers: RequestBuffers
  /// Where the next request is read to; see ``RequestBuffers``.
  /// Nil where a write has kept it, and there was no other.
  var incoming: RequestBuffers.Buffer?
  /// Where data goes that there is no memory for. Nobody reads it: any number of requests may share it.
  let sink: UnsafeMutableRawPointer
  /// Operations of requests that were read and found no room, oldest first.
  var waiting: [Operation] = []
  /// Requests are left in the kernel, because there is no room for all of them.
  private var isHeldUp = false
  /// It is so, and nothing has completed for a while.
  private var isStuck = false
  /// Operations that have completed, and how many of them when ``watch(_:)`` was last called.
  private var completions: UInt64 = 0
  private var lastCompletions: UInt64 = 0
  /// What a request that libfuse has taken apart wants from the server.
  private var asked: (FileRequest, Operation, fuse_req_t)?
  /// The kernel's number of the request that is with libfuse, or being answered through it.
  private var atHand: UInt64 = 0
  /// Reads of the device that have failed in a row.
  private var failedReads = 0
  /// Counts the calls of ``watch(_:)``, as the age of requests.
  var watches: UInt32 = 0
  var look = CallerLook()

  /// - Parameters:
  ///   - session: of a clone of the device; nobody else may use it.
  ///   - budget: bytes of data in flight; see ``RequestBuffers``.
  ///   - log: what keeps large writes.
  init(
    _ engine: ReactorEngine, _ session: FuseSession, _ handler: RequestHandler, budget: Int, _ log: WriteLog?
  ) throws(NBDError) {
    self.engine = engine
    self.session = session
    self.handler = handler
    device = session.descriptor
    buffers = try RequestBuffers(largest: Int(handler.options.maxWrite), budget: budget, log)
    incoming = buffers.takeLarge()
    waiting.reserveCapacity(RequestSlots.capacity)
    sink = .allocate(byteCount: Self.largestUnbuffered, alignment: 16)
  }

  deinit { sink.deallocate() }

  var descriptor: Int32 { device }

  // MARK: Reading requests

  func readRequests(_ loop: inout ReactorLoop) -> RequestReading {
    resume(&loop)
    isHeldUp = false
    var count = 0
    while count < Self.batch {
      // Of what has no room, only so much is read as there is a place to read it to, and only to come to what is behind it.
      guard slots.freeCount > 0, let incoming, isStuck || (buffers.haveRoom && waiting.isEmpty) else {
        isHeldUp = true
        return .blocked(count)
      }
      let request = incoming.start - DeviceWire.writeRequest
      let size = read(device, request, DeviceWire.writeRequest + buffers.largest)
      if size < 0 {
        switch Errno(rawValue: errno) {
        case .wouldBlock: return waiting.isEmpty ? .drained(count) : .waiting(count)
        // The request was given up before it was read, or a signal came: the next one.
        case .noSuchFileOrDirectory, .interrupted: continue
        case let error: return failed(error, count)
        }
      }
      failedReads = 0
      guard size >= DeviceWire.inHeader else { continue }
      count += 1
      take(request, size, &loop)
    }
    return .more(count)
  }

  /// The device cannot be read. Unless the mount is gone, the requests are still there, and whoever made them waits: only
  /// what lasts ends the mount.
  @inline(never)
  private func failed(_ error: Errno, _ count: Int) -> RequestReading {
    failedReads += 1
    if !DeviceWire.isEnd(error.rawValue), failedReads < Self.mostFailedReads {
      usleep(Self.pause)
      return .drained(count)
    }
    engine.ended(DeviceWire.isEnd(error.rawValue) ? 0 : error.rawValue)
    return .finished
  }

  /// Takes a request apart that was read to ``incoming``.
  @inline(__always)
  private func take(_ request: UnsafeMutableRawPointer, _ size: Int, _ loop: inout ReactorLoop) {
    let header = DeviceWire.header(request)
    if !engine.isDebugging {
      switch header.opcode {
      case UInt32(FUSE_READ.rawValue) where size >= DeviceWire.readRequest:
        let body = DeviceWire.body(request, as: fuse_read_in.self)
        let step = handler.read(
          body.offset, Int(body.size), flags: Int32(bitPattern: body.flags), process: pid_t(bitPattern: header.pid))
        return begin(step, header, &loop)
      case UInt32(FUSE_WRITE.rawValue) where size >= DeviceWire.writeRequest:
        let body = DeviceWire.body(request, as: fuse_write_in.self)
        let count = min(Int(body.size), size - DeviceWire.writeRequest)
        let step = handler.file.write(
          body.offset, request + DeviceWire.writeRequest, count,
          isDirect: body.write_flags & UInt32(FUSE_WRITE_CACHE) == 0, flags: Int32(bitPattern: body.flags))
        return begin(step, header, &loop)
      default: break
      }
    }
    // Not used: it does not come for every caller that is killed, and ``watch(_:)`` finds them all.
    if header.opcode == UInt32(FUSE_INTERRUPT.rawValue) { return }
    var buffer = fuse_buf()
    buffer.mem = request
    buffer.size = size
    atHand = header.unique
    session.process(&buffer)
    if let (request, operation, libfuse) = asked {
      asked = nil
      submit(request, operation, header, libfuse, &loop)
    }
  }

  /// libfuse has taken a request apart, on this thread, during ``take(_:_:)``.
  static func begin(_ step: FileRequest.Step, _ request: fuse_req_t) {
    switch step {
    case .reply(let answer): FuseReply(request).answer(answer)
    case .ask(let fileRequest, let operation):
      guard let current else { return FuseReply(request).error(EIO) }
      current.asked = (fileRequest, operation, request)
    }
  }

  @inline(__always)
  private func begin(_ step: FileRequest.Step, _ header: fuse_in_header, _ loop: inout ReactorLoop) {
    switch step {
    case .reply(let answer): DeviceWire.reply(device, header.unique, answer)
    case .ask(let request, let operation):
      submit(request, operation, header, nil, &loop)
    }
  }

  @inline(__always)
  private func submit(
    _ request: FileRequest, _ operation: Operation, _ header: fuse_in_header, _ libfuse: fuse_req_t?,
    _ loop: inout ReactorLoop
  ) {
    var operation = operation
    let token = slots.insert(
      RequestSlots.Slot(
        unique: header.unique, libfuse: libfuse, request: request, process: pid_t(bitPattern: header.pid), born: watches))
    operation.token = token
    if operation.command == .write { keepPayload(&operation) }
    // No more than was agreed, or it would wait for a buffer that there never is.
    guard operation.command != .read || operation.length <= UInt64(buffers.largest) else {
      return proceed(token, .failed(.noMemory), &loop)
    }
    guard waiting.isEmpty, prepare(&operation) else { return waiting.append(operation) }
    switch loop.submit(operation) {
    case .accepted: break
    case .full: waiting.append(operation)
    case .lost: proceed(token, .connectionLost, &loop)
    }
  }

  // MARK: Outcomes

  func complete(_ completion: Completion, extents: [[Extent]], _ loop: inout ReactorLoop) {
    guard let slot = slots.pointer(completion.token) else { return }
    completions &+= 1
    isStuck = false
    if let other = completion.replacement { slot.pointee.buffer?.start = other }
    let isWithoutData = slot.pointee.hasNoMemory && completion.outcome.isSuccess
    proceed(
      completion.token, isWithoutData ? .failed(.noMemory) : completion.outcome, &loop, extents: extents,
      data: completion.data ?? slot.pointee.buffer?.start)
  }

  /// The operation of a request has ended, or was not submitted: there is an answer, or more to ask.
  ///
  /// - Parameter data: where what a read gave is.
  @inline(__always)
  func proceed(
    _ token: Token, _ outcome: Outcome, _ loop: inout ReactorLoop, extents: [[Extent]] = [],
    data: UnsafeMutableRawPointer? = nil
  ) {
    guard let slot = slots.pointer(token) else { return }
    switch handler.file.proceed(slot.pointee.request, outcome, extents, data: data) {
    case .reply(let answer): end(token, answer, &loop)
    case .ask(let request, let operation): ask(token, request, operation, &loop)
    }
  }

  /// A request asks for more. Only a success makes it do so: what is not accepted here is an answer next.
  @inline(never)
  private func ask(_ token: Token, _ request: FileRequest, _ operation: Operation, _ loop: inout ReactorLoop) {
    guard let slot = slots.pointer(token) else { return }
    slot.pointee.request = request
    var operation = operation
    operation.token = token
    // Whoever has given it up needs no more answers.
    let submission: Submission? = slot.pointee.isAnswered ? nil : loop.submit(operation)
    switch submission {
    case .accepted: break
    case nil: proceed(token, .abandoned, &loop)
    // Rare, and a seek is no reason to stop reading: what is left counts as data.
    case .full: proceed(token, .failed(.ioError), &loop)
    case .lost: proceed(token, .connectionLost, &loop)
    }
  }

  /// Answers a request, unless that was done, and forgets it.
  @inline(__always)
  func end(_ token: Token, _ answer: FileRequest.Answer, _ loop: inout ReactorLoop) {
    guard let slot = slots.pointer(token)?.pointee else { return }
    slots.remove(token)
    if !slot.isAnswered { reply(slot, answer) }
    if let hold = slot.hold { loop.gate.release(hold) }
    if let buffer = slot.buffer { buffers.give(buffer) } else { buffers.unreserve(slot.reserved) }
  }

  @inline(__always)
  func reply(_ slot: RequestSlots.Slot, _ answer: FileRequest.Answer) {
    guard let request = slot.libfuse else { return DeviceWire.reply(device, slot.unique, answer) }
    atHand = slot.unique
    FuseReply(request).answer(answer)
  }

  /// libfuse could not give an answer, for `reason`, and has let go of the request.
  func answerWasLost(_ reason: Int32) { DeviceWire.replyLost(device, atHand, reason) }

  /// Has more read than there is room for where nothing has completed since the last call.
  func noticeStandstill() {
    isStuck = isHeldUp && completions == lastCompletions
    lastCompletions = completions
  }

  // MARK: The thread's own source

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  /// The source whose reactor runs on this thread.
  static var current: FuseSource? {
    pthread_getspecific(key).map { Unmanaged<FuseSource>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Makes this the thread's source. The reactor holds it until its thread ends.
  func bindToThread() {
    pthread_setspecific(Self.key, Unmanaged.passUnretained(self).toOpaque())
  }
}
