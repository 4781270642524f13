@testable import NBDProtocol

/// A connection with nothing behind it: takes the machine's requests out of its send queue, and puts the headers of their
/// replies where the machine wants received bytes. Payloads are left as the memory is, because to fill them is the
/// kernel's work and not the machine's.
struct FakeServer: ~Copyable {
  /// How reads are answered.
  enum ReadReply {
    /// All data behind one header.
    case whole
    /// Two chunks and, as a third, the end: what nbdkit and qemu send for a read across the border of a hole.
    case chunked
  }

  var machine: TransmissionMachine
  let reply: ReadReply
  private let isSimple: Bool
  private let isExtended: Bool
  /// Handles and offsets of the requests that have left and were not answered.
  private let requests: UnsafeMutablePointer<(handle: UInt64, offset: UInt64)>
  private var requestCount = 0
  private let vectors: UnsafeMutableBufferPointer<IOVector>
  /// Where reads that are given a buffer are received.
  let payload: UnsafeMutableRawPointer

  static let payloadSize = 128 * 1024

  init(_ replies: ReplyForm, _ reply: ReadReply = .whole) {
    machine = TransmissionMachine(
      Export(name: "", size: 1 << 30, flags: [.hasFlags, .sendFlush, .sendFUA], replies: replies))
    self.reply = reply
    isSimple = replies == .simple
    isExtended = replies == .extended
    requests = .allocate(capacity: CommandTable.capacity)
    vectors = .allocate(capacity: SendQueue.segmentCapacity)
    payload = .allocate(byteCount: Self.payloadSize, alignment: 4096)
    payload.initializeMemory(as: UInt8.self, repeating: 7, count: Self.payloadSize)
  }

  deinit {
    requests.deallocate()
    vectors.deallocate()
    payload.deallocate()
  }

  /// Takes the machine's output: the turn's one send.
  @inline(__always)
  mutating func send() {
    let stride = isExtended ? RequestHeader.extendedSize : RequestHeader.compactSize
    while !machine.output.isEmpty {
      let count = machine.output.fill(vectors)
      var sent = 0
      for vector in vectors.prefix(count) {
        sent += vector.iov_len
        // Payloads come in vectors of their own, and are all the same one.
        guard let base = vector.iov_base, base != payload else { continue }
        var position = 0
        while position < vector.iov_len {
          requests[requestCount] = (
            (base + position).loadUnaligned(fromByteOffset: 8, as: UInt64.self),
            (base + position).loadUnaligned(fromByteOffset: 16, as: UInt64.self)
          )
          requestCount += 1
          position += stride
        }
      }
      machine.sent(sent)
    }
  }

  /// Answers every request that was sent: the turn's one receive.
  @inline(__always)
  mutating func receive(dataBytes: Int) {
    let (base, space) = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 2) { vectors in
      guard let first = vectors.baseAddress else { return (UnsafeMutableRawPointer?.none, 0) }
      let count = machine.receiveVectors(first)
      return (count == 1 ? vectors[0].iov_base : nil, vectors[0].iov_len)
    }
    guard let base else { fatalError("the machine waits for the rest of a payload") }
    var position = 0
    for index in 0..<requestCount {
      let request = requests[index]
      if isSimple {
        header(base + position, Magic.simpleReply, 0, 0, request, 0)
        position += ReplyHeader.simpleSize + dataBytes
      } else if dataBytes == 0 {
        position += chunk(base + position, request, ChunkType.none, isLast: true, payload: 0)
      } else if reply == .whole {
        position += data(base + position, request, at: 0, dataBytes, isLast: true)
      } else {
        position += data(base + position, request, at: 0, dataBytes / 2, isLast: false)
        position += data(base + position, request, at: dataBytes / 2, dataBytes / 2, isLast: false)
        position += chunk(base + position, request, ChunkType.none, isLast: true, payload: 0)
      }
    }
    precondition(position <= space, "more replies than the receive buffer holds")
    requestCount = 0
    machine.received(position)
  }

  /// Has the machine parse what came, and returns how many operations ended well.
  @inline(__always)
  mutating func complete() -> Int {
    var count = 0
    do throws(ProtocolViolation) {
      while let event = try machine.next() {
        switch event {
        case .completed(let completion): count += completion.outcome.isSuccess ? 1 : 0
        case .returned: preconditionFailure("the server does not go away")
        case .needsBuffer(let command, _, _): machine.provide(buffer: payload, for: command)
        }
      }
    } catch {
      fatalError("\(error)")
    }
    return count
  }

  @inline(__always)
  private func data(
    _ start: UnsafeMutableRawPointer, _ request: (handle: UInt64, offset: UInt64), at offset: Int, _ count: Int,
    isLast: Bool
  ) -> Int {
    let size = chunk(start, request, ChunkType.offsetData, isLast: isLast, payload: 8 + count)
    let position = (UInt64(bigEndian: request.offset) + UInt64(offset)).bigEndian
    (start + size - 8 - count).storeBytes(of: position, as: UInt64.self)
    return size
  }

  /// Writes a chunk's header; returns the size of the chunk.
  @inline(__always)
  private func chunk(
    _ start: UnsafeMutableRawPointer, _ request: (handle: UInt64, offset: UInt64), _ type: ChunkType, isLast: Bool,
    payload: Int
  ) -> Int {
    let magic = isExtended ? Magic.extendedReply : Magic.structuredReply
    header(start, magic, isLast ? 1 : 0, type.rawValue, request, payload)
    return (isExtended ? ReplyHeader.extendedSize : ReplyHeader.structuredSize) + payload
  }

  /// `handle` and `offset` are still as they came from the wire.
  @inline(__always)
  private func header(
    _ start: UnsafeMutableRawPointer, _ magic: UInt32, _ flags: UInt16, _ type: UInt16,
    _ request: (handle: UInt64, offset: UInt64), _ length: Int
  ) {
    start.storeBytes(of: magic.bigEndian, as: UInt32.self)
    start.storeBytes(of: flags.bigEndian, toByteOffset: 4, as: UInt16.self)
    start.storeBytes(of: type.bigEndian, toByteOffset: 6, as: UInt16.self)
    start.storeBytes(of: request.handle, toByteOffset: 8, as: UInt64.self)
    if isSimple { return }
    if isExtended {
      start.storeBytes(of: request.offset, toByteOffset: 16, as: UInt64.self)
      start.storeBytes(of: UInt64(length).bigEndian, toByteOffset: 24, as: UInt64.self)
    } else {
      start.storeBytes(of: UInt32(length).bigEndian, toByteOffset: 16, as: UInt32.self)
    }
  }
}
