import NBDProtocol

/// A request that was sent, and what has been said to it so far.
struct PendingRequest {
  let type: UInt16
  let flags: UInt16
  let offset: UInt64
  let length: UInt64
  var reply = Reply()

  var isRead: Bool { type == Command.read.rawValue }
  var isBlockStatus: Bool { type == Command.blockStatus.rawValue }
  /// For messages.
  var name: String { Command(rawValue: type).map { "\($0)" } ?? "command \(type)" }
}

/// A chunk of a structured or extended reply.
struct Chunk: Hashable {
  let type: ChunkType
  let flags: UInt16
  let payload: [UInt8]

  /// Where content lies in the export, and how many bytes it is; nil of other chunks, and where bytes are missing.
  var content: (offset: UInt64, length: UInt64)? {
    switch type {
    case .offsetData:
      OffsetData(payload.span.bytes).map { ($0.offset, UInt64(payload.count - OffsetData.size)) }
    case .offsetHole: OffsetHole(payload.span.bytes).map { ($0.offset, UInt64($0.length)) }
    default: nil
    }
  }

  var error: ErrorChunk? { type.isError ? ErrorChunk(payload.span.bytes, type) : nil }

  /// What a context says: its number, and the descriptors.
  var status: (context: UInt32, extents: [StatusDescriptor])? {
    let isExtended = type == .blockStatusExtended
    guard isExtended || type == .blockStatus, let header = StatusHeader(payload.span.bytes, extended: isExtended) else {
      return nil
    }
    var extents: [StatusDescriptor] = []
    let size = StatusDescriptor.size(extended: isExtended)
    var place = StatusHeader.size(extended: isExtended)
    let whole = payload.span.bytes
    while place + size <= payload.count {
      if let extent = StatusDescriptor(whole.extracting(place..<payload.count), extended: isExtended) { extents.append(extent) }
      place += size
    }
    return (header.contextID, extents)
  }
}

/// All that the server said to one request.
struct Reply: Hashable {
  /// Nil while nothing has come.
  var form: ReplyForm?
  /// The error of a simple reply.
  var simpleError: UInt32 = 0
  var simpleData: [UInt8] = []
  var chunks: [Chunk] = []

  /// The error: of a simple reply, or of the first error chunk. 0 is success.
  var error: UInt32 {
    if form == .simple { return simpleError }
    guard let chunk = chunks.first(where: { $0.type.isError }) else { return 0 }
    return chunk.error?.code.rawValue ?? .max
  }
  var isSuccess: Bool { error == 0 }

  /// Bytes of data, and of payload in chunks.
  var payloadSize: Int { chunks.reduce(simpleData.count) { $0 + $1.payload.count } }

  /// Chunks with content of a read.
  var contents: [Chunk] { chunks.filter { $0.content != nil } }
  /// What each context says.
  var statuses: [(context: UInt32, extents: [StatusDescriptor])] { chunks.compactMap(\.status) }

  /// For messages.
  var summary: String {
    isSuccess ? "success" : "\(NBDErrorCode(rawValue: error))"
  }

  /// The bytes of a read of `length` bytes at `offset`; nil where some are missing, or it failed.
  func data(_ offset: UInt64, _ length: Int) -> [UInt8]? {
    guard isSuccess else { return nil }
    if form == .simple { return simpleData.count == length ? simpleData : nil }
    var data = [UInt8](repeating: 0, count: length)
    var covered = 0
    for chunk in chunks {
      guard let (start, count) = chunk.content else { continue }
      guard start >= offset, let from = Int(exactly: start - offset), let count = Int(exactly: count), from <= length,
        count <= length - from
      else { return nil }
      covered += count
      if chunk.type == .offsetData {
        data.withUnsafeMutableBytes { target in
          chunk.payload.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: target[from..<(from + count)])
              .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[OffsetData.size...]))
          }
        }
      }
    }
    return covered == length ? data : nil
  }
}
