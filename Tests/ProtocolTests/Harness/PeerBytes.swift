// The other end of the wire, in the transmission phase: requests taken apart and replies put together. The numbers are
// written out here, so that a wrong constant in the library is seen.

@testable import NBDProtocol

/// A request as a server sees it.
struct SeenRequest: Equatable, CustomStringConvertible {
  var isExtended: Bool
  var flags: UInt16
  var command: UInt16
  var handle: UInt64
  var offset: UInt64
  var length: UInt64
  var payload: [UInt8] = []

  static let read: UInt16 = 0
  static let write: UInt16 = 1
  static let disconnect: UInt16 = 2
  static let flush: UInt16 = 3
  static let trim: UInt16 = 4
  static let cache: UInt16 = 5
  static let writeZeroes: UInt16 = 6
  static let blockStatus: UInt16 = 7

  static let fua: UInt16 = 1
  static let noHole: UInt16 = 2
  static let dontFragment: UInt16 = 4
  static let requestOne: UInt16 = 8
  static let fastZero: UInt16 = 16
  static let payloadLength: UInt16 = 32

  var end: UInt64 { offset &+ length }

  var description: String {
    "command \(command) flags \(flags) handle \(handle) at \(offset) for \(length)"
  }
}

/// Takes a client's byte stream apart.
struct RequestReader {
  private(set) var bytes: [UInt8] = []
  private var position = 0
  private(set) var isBroken = false

  mutating func append(_ more: some Sequence<UInt8>) {
    if position > 1 << 20 {
      bytes.removeFirst(position)
      position = 0
    }
    bytes += more
  }

  var rest: Int { bytes.count - position }

  private func number(_ offset: Int, _ size: Int) -> UInt64 {
    bytes[(position + offset)..<(position + offset + size)].reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// The header at the front, when it is there, and its size. The payload may not be there yet.
  mutating func peek() -> (SeenRequest, size: Int)? {
    guard rest >= 28 else { return nil }
    let magic = number(0, 4)
    guard magic == 0x2560_9513 || magic == 0x21e4_1c71 else {
      isBroken = true
      return nil
    }
    let isExtended = magic == 0x21e4_1c71
    guard rest >= (isExtended ? 32 : 28) else { return nil }
    let request = SeenRequest(
      isExtended: isExtended, flags: UInt16(number(4, 2)), command: UInt16(number(6, 2)), handle: number(8, 8),
      offset: number(16, 8), length: number(24, isExtended ? 8 : 4))
    return (request, isExtended ? 32 : 28)
  }

  /// The next whole request.
  mutating func next() -> SeenRequest? {
    guard var (request, size) = peek() else { return nil }
    if request.command == SeenRequest.write {
      let count = Int(request.length)
      guard rest >= size + count else { return nil }
      request.payload = Array(bytes[(position + size)..<(position + size + count)])
      size += count
    }
    position += size
    return request
  }
}

/// What a server answers.
enum Reply {
  static func simple(_ handle: UInt64, error: UInt32 = 0, _ data: [UInt8] = []) -> [UInt8] {
    join(be32(0x6744_6698), be32(error), be64(handle), data)
  }

  static func structured(
    _ handle: UInt64, type: UInt16, flags: UInt16 = 1, length: UInt32? = nil, _ payload: [UInt8] = []
  ) -> [UInt8] {
    join(be32(0x668e_33ef), be16(flags), be16(type), be64(handle), be32(length ?? UInt32(payload.count)), payload)
  }

  static func extended(
    _ handle: UInt64, offset: UInt64, type: UInt16, flags: UInt16 = 1, length: UInt64? = nil, _ payload: [UInt8] = []
  ) -> [UInt8] {
    join(
      be32(0x6e8a_278c), be16(flags), be16(type), be64(handle), be64(offset), be64(length ?? UInt64(payload.count)), payload)
  }
}

/// The two forms of chunks, for rules that both obey.
enum ChunkForm: CaseIterable {
  case structured, extended

  static let none: UInt16 = 0
  static let offsetData: UInt16 = 1
  static let offsetHole: UInt16 = 2
  static let blockStatus: UInt16 = 5
  static let blockStatusExtended: UInt16 = 6
  static let error: UInt16 = 0x8001
  static let errorOffset: UInt16 = 0x8002

  func chunk(
    _ request: SeenRequest, _ type: UInt16, flags: UInt16 = 1, length: UInt64? = nil, _ payload: [UInt8] = []
  ) -> [UInt8] {
    switch self {
    case .structured:
      Reply.structured(
        request.handle, type: type, flags: flags, length: length.map { UInt32(truncatingIfNeeded: $0) }, payload)
    case .extended:
      Reply.extended(request.handle, offset: request.offset, type: type, flags: flags, length: length, payload)
    }
  }

  func data(_ request: SeenRequest, at offset: UInt64, _ data: [UInt8], done: Bool = false) -> [UInt8] {
    chunk(request, Self.offsetData, flags: done ? 1 : 0, be64(offset) + data)
  }

  func hole(_ request: SeenRequest, at offset: UInt64, _ length: UInt32, done: Bool = false) -> [UInt8] {
    chunk(request, Self.offsetHole, flags: done ? 1 : 0, be64(offset) + be32(length))
  }

  func done(_ request: SeenRequest) -> [UInt8] { chunk(request, Self.none) }

  func error(_ request: SeenRequest, _ code: UInt32, _ text: String = "", done: Bool = true) -> [UInt8] {
    chunk(request, Self.error, flags: done ? 1 : 0, join(be32(code), be16(UInt16(text.utf8.count)), ascii(text)))
  }

  func errorOffset(_ request: SeenRequest, _ code: UInt32, at offset: UInt64, done: Bool = true) -> [UInt8] {
    chunk(request, Self.errorOffset, flags: done ? 1 : 0, join(be32(code), be16(0), be64(offset)))
  }

  var statusType: UInt16 { self == .structured ? Self.blockStatus : Self.blockStatusExtended }

  func statusPayload(context: UInt32, _ extents: [(UInt64, UInt64)]) -> [UInt8] {
    switch self {
    case .structured:
      be32(context) + extents.flatMap { be32(UInt32(truncatingIfNeeded: $0.0)) + be32(UInt32(truncatingIfNeeded: $0.1)) }
    case .extended:
      be32(context) + be32(UInt32(extents.count)) + extents.flatMap { be64($0.0) + be64($0.1) }
    }
  }

  /// A block status chunk: lengths and statuses.
  func status(_ request: SeenRequest, context: UInt32, _ extents: [(UInt64, UInt64)], done: Bool = true) -> [UInt8] {
    chunk(request, statusType, flags: done ? 1 : 0, statusPayload(context: context, extents))
  }
}

extension ReplyForm {
  static let allForms: [ReplyForm] = [.simple, .structured, .extended]

  /// How chunks look in this form; nil where there are none.
  var chunks: ChunkForm? {
    switch self {
    case .simple: nil
    case .structured: .structured
    case .extended: .extended
    }
  }

  func success(_ request: SeenRequest, _ data: [UInt8] = []) -> [UInt8] {
    guard let chunks else { return Reply.simple(request.handle, data) }
    return data.isEmpty ? chunks.done(request) : chunks.data(request, at: request.offset, data, done: true)
  }

  func failure(_ request: SeenRequest, _ code: UInt32) -> [UInt8] {
    chunks?.error(request, code) ?? Reply.simple(request.handle, error: code)
  }
}

/// `count` bytes that differ from their neighbours and from those at other `start`s.
func pattern(_ count: Int, from start: UInt64 = 0) -> [UInt8] {
  (0..<UInt64(count)).map { UInt8(truncatingIfNeeded: (start + $0) &* 167 &+ (start + $0) >> 8 &+ 1) }
}
