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
/// Memory is bounded by not reading: a request that has not been read waits in the kernel.
final class FuseSource: RequestSource {
  /// Requests that are read in one turn, so that replies get their turn too.
  private static let batch = 64
  /// A write up to this size, in bytes, is copied into the send queue, and its buffer used for the next request.
  private static let largestCopy = 16 * 1024
  /// A read above this size, in bytes, gets its buffer before it is sent. It is received in place.
  private static let largestUnbuffered = 64 * 1024
  /// Reads of the device that may fail in a row, and microseconds after each.
  private static let mostFailedReads = 1000
  private static let pause: UInt32 = 1000

  private let engine: ReactorEngine
  /// The session of the clone.
  private let session: FuseSession
  private let mount: Mount
  private let device: Int32
  private var slots = RequestSlots()
  private var buffers: RequestBuffers
  /// Where the next request is read to; see ``RequestBuffers``.
  private var incoming: RequestBuffers.Buffer
  /// A request that was read and found no room.
  private var blocked: (token: Token, operation: Operation)?
  /// What a request that libfuse has taken apart wants from the server.
  private var asked: (FileRequest, Operation, fuse_req_t)?
  /// The kernel's number of the request that is with libfuse, or being answered through it.
  private var atHand: UInt64 = 0
  /// Reads of the device that have failed in a row.
  private var failedReads = 0
  /// Counts the calls of ``watch(_:)``, as the age of requests.
  private var watches: UInt32 = 0

  /// - Parameters:
  ///   - session: of a clone of the device; nobody else may use it.
  ///   - budget: bytes of data in flight; see ``RequestBuffers``.
  init(_ engine: ReactorEngine, _ session: FuseSession, _ mount: Mount, budget: Int) {
    self.engine = engine
    self.session = session
    self.mount = mount
    device = session.descriptor
    buffers = RequestBuffers(largest: Int(mount.options.maxWrite), budget: budget)
    incoming = buffers.takeLarge()
  }

  var descriptor: Int32 { device }

  // MARK: Reading requests

  func readRequests(_ loop: inout ReactorLoop) -> RequestReading {
    if let waiting = blocked {
      switch loop.submit(waiting.operation) {
      case .accepted: blocked = nil
      case .full: return .blocked(0)
      case .lost:
        blocked = nil
        finish(waiting.token, .connectionLost, nil)
      }
    }
    var count = 0
    while count < Self.batch {
      guard slots.freeCount > 0, buffers.haveRoom else { return .blocked(count) }
      let request = incoming.start - DeviceWire.writeRequest
      let size = read(device, request, DeviceWire.writeRequest + buffers.largest)
      if size < 0 {
        switch Errno(rawValue: errno) {
        case .wouldBlock: return .drained(count)
        // The request was given up before it was read, or a signal came: the next one.
        case .noSuchFileOrDirectory, .interrupted: continue
        case let error: return failed(error, count)
        }
      }
      failedReads = 0
      guard size >= DeviceWire.inHeader else { continue }
      count += 1
      take(request, size, &loop)
      if blocked != nil { return .blocked(count) }
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
        let step = mount.read(
          body.offset, Int(body.size), flags: Int32(bitPattern: body.flags), process: pid_t(bitPattern: header.pid))
        return begin(step, header, &loop)
      case UInt32(FUSE_WRITE.rawValue) where size >= DeviceWire.writeRequest:
        let body = DeviceWire.body(request, as: fuse_write_in.self)
        let count = min(Int(body.size), size - DeviceWire.writeRequest)
        let step = mount.file.write(
          body.offset, incoming.start, count,
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
    case .reply(let answer): reply(header.unique, answer, nil)
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
    let length = Int(operation.length)
    switch operation.command {
    case .read where length > Self.largestUnbuffered:
      operation.buffer = buffer(for: token, length: operation.length)
    case .write:
      if libfuse == nil, length > Self.largestCopy {
        keepPayload(&operation)
      } else {
        operation.copiesPayload = true
      }
    default: break
    }
    switch loop.submit(operation) {
    case .accepted: break
    case .full:
      if operation.copiesPayload { keepPayload(&operation) }
      blocked = (token, operation)
    case .lost: finish(token, .connectionLost, nil)
    }
  }

  // MARK: Buffers

  /// Keeps the payload that was read to ``incoming`` until the write is answered.
  func keepPayload(_ operation: inout Operation) {
    guard let slot = slots.pointer(operation.token), let payload = operation.buffer else { return }
    let length = Int(operation.length)
    operation.copiesPayload = false
    if payload == incoming.start, buffers.shouldKeep(length) {
      slot.pointee.buffer = incoming
      incoming = buffers.takeLarge()
    } else {
      let copy = buffers.take(length)
      copy.start.copyMemory(from: payload, byteCount: length)
      operation.buffer = copy.start
      slot.pointee.buffer = copy
    }
  }

  func buffer(for token: Token, length: UInt64) -> UnsafeMutableRawPointer {
    let buffer = buffers.take(Int(length))
    slots.pointer(token)?.pointee.buffer = buffer
    return buffer.start
  }

  // MARK: Outcomes

  func complete(_ completion: Completion, extents: [[Extent]], _ loop: inout ReactorLoop) {
    guard let slot = slots.pointer(completion.token) else { return }
    if case .seek = slot.pointee.request.kind {
      if case .ask(let request, var operation) = mount.file.proceed(slot.pointee.request, completion.outcome, extents) {
        slot.pointee.request = request
        operation.token = completion.token
        switch loop.submit(operation) {
        case .accepted: return
        case .full:
          // Rare, and a seek is no reason to stop reading: what is left counts as data.
          return finish(completion.token, .failed(.ioError), nil)
        case .lost: return finish(completion.token, .connectionLost, nil)
        }
      }
      return finish(completion.token, completion.outcome, nil, extents)
    }
    finish(completion.token, completion.outcome, completion.data)
  }

  /// Answers a request for good.
  @inline(__always)
  private func finish(
    _ token: Token, _ outcome: Outcome, _ data: UnsafeMutableRawPointer?, _ extents: [[Extent]] = []
  ) {
    guard let slot = slots.pointer(token)?.pointee else { return }
    slots.remove(token)
    let data = data ?? slot.buffer?.start
    if case .reply(let answer) = mount.file.proceed(slot.request, outcome, extents) {
      if let request = slot.libfuse {
        atHand = slot.unique
        FuseReply(request).answer(answer, data: data)
      } else {
        reply(slot.unique, answer, data)
      }
    }
    if let buffer = slot.buffer { buffers.give(buffer) }
  }

  @inline(__always)
  private func reply(_ unique: UInt64, _ answer: FileRequest.Answer, _ data: UnsafeMutableRawPointer?) {
    switch answer {
    case .data(count: 0): DeviceWire.reply(device, unique, error: 0)
    case .data(let count):
      guard let data else { return DeviceWire.reply(device, unique, error: EIO) }
      DeviceWire.reply(device, unique, data: data, count: count)
    case .written(let count): DeviceWire.replyWritten(device, unique, count: count)
    case .error(let number): DeviceWire.reply(device, unique, error: number)
    case .success, .offset: DeviceWire.reply(device, unique, error: EIO)
    }
  }

  /// libfuse could not give an answer, for `reason`, and has let go of the request.
  func answerWasLost(_ reason: Int32) { DeviceWire.replyLost(device, atHand, reason) }

  // MARK: Killed callers

  var hasRequests: Bool { slots.count > 0 }

  /// Lets go of requests whose callers are being killed: see ``CallerWatch`` for why only those.
  func watch(_ loop: inout ReactorLoop) {
    watches &+= 1
    let now = watches
    for token in slots.tokens(where: { now &- $0.born >= 2 && CallerWatch.isBeingKilled($0.process) }) {
      if blocked?.token == token {
        blocked = nil
        finish(token, .abandoned, nil)
      } else {
        loop.machine.abandon(token)
      }
    }
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
