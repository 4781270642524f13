/// The header of any reply: simple, structured or extended (*Simple reply message*, *Structured reply chunk
/// message*, *Extended reply chunk message*).
///
/// | offset | size | simple reply                                          |
/// |-------:|-----:|-------------------------------------------------------|
/// |      0 |    4 | magic, ``Magic/simpleReply``                          |
/// |      4 |    4 | error; 0 is success                                   |
/// |      8 |    8 | cookie: the request's handle                          |
/// |     16 |      | the data, of a read that succeeded                    |
///
/// | offset | size | structured chunk                                      |
/// |-------:|-----:|-------------------------------------------------------|
/// |      0 |    4 | magic, ``Magic/structuredReply``                      |
/// |      4 |    2 | reply flags                                           |
/// |      6 |    2 | type of the chunk                                     |
/// |      8 |    8 | cookie: the request's handle                          |
/// |     16 |    4 | *n*, bytes of payload                                 |
/// |     20 |  *n* | the payload (ChunkPayload.swift)                      |
///
/// | offset | size | extended chunk                                        |
/// |-------:|-----:|-------------------------------------------------------|
/// |      0 |    4 | magic, ``Magic/extendedReply``                        |
/// |      4 |    2 | reply flags                                           |
/// |      6 |    2 | type of the chunk                                     |
/// |      8 |    8 | cookie: the request's handle                          |
/// |     16 |    8 | the request's offset                                  |
/// |     24 |    8 | *n*, bytes of payload                                 |
/// |     32 |  *n* | the payload (ChunkPayload.swift)                      |
package struct ReplyHeader: WireLayout {
  package var form: ReplyForm
  /// The handle of the request that this answers.
  package var handle: UInt64
  /// Simple replies only; zero is success.
  package var error: NBDErrorCode
  /// Structured and extended replies only.
  package var flags: ReplyFlags
  /// Structured and extended replies only.
  package var type: ChunkType
  /// Extended replies only: the request's offset, repeated.
  package var offset: UInt64
  /// Payload bytes after the header. A simple reply does not say: its request does.
  package var length: UInt64

  /// A simple reply.
  @inline(__always)
  package init(simple handle: UInt64, error: NBDErrorCode = NBDErrorCode(rawValue: 0)) {
    self.init(.simple, handle, error, .done, .none, 0, 0)
  }

  /// A structured reply chunk; of `length`, the low 32 bits can be sent.
  @inline(__always)
  package init(structured handle: UInt64, _ type: ChunkType, flags: ReplyFlags = [], length: UInt64) {
    self.init(.structured, handle, NBDErrorCode(rawValue: 0), flags, type, 0, length)
  }

  /// An extended reply chunk.
  @inline(__always)
  package init(extended handle: UInt64, _ type: ChunkType, flags: ReplyFlags = [], offset: UInt64, length: UInt64) {
    self.init(.extended, handle, NBDErrorCode(rawValue: 0), flags, type, offset, length)
  }

  @inline(__always)
  private init(
    _ form: ReplyForm, _ handle: UInt64, _ error: NBDErrorCode, _ flags: ReplyFlags, _ type: ChunkType, _ offset: UInt64,
    _ length: UInt64
  ) {
    self.form = form
    self.handle = handle
    self.error = error
    self.flags = flags
    self.type = type
    self.offset = offset
    self.length = length
  }

  /// Size in bytes of a simple reply's header.
  package static let simpleSize = 16
  /// Size in bytes of a structured reply chunk's header.
  package static let structuredSize = 20
  /// Size in bytes of an extended reply chunk's header.
  package static let extendedSize = 32

  /// Bytes in front of a read's data in a reply: the header, and in a chunk the data's offset (*Structured reply types*).
  static func sizeBeforeData(_ replies: ReplyForm) -> Int {
    switch replies {
    case .simple: simpleSize
    case .structured: structuredSize + OffsetData.size
    case .extended: extendedSize + OffsetData.size
    }
  }

  /// The magic that any reply begins with. Nil where it is not whole.
  @inline(__always)
  package static func magic(_ bytes: RawSpan) -> UInt32? { bytes.byteCount >= 4 ? bytes.loadBigEndian(0) : nil }

  /// Size in bytes of the header that begins with `magic`, or nil where no reply begins so.
  @inline(__always)
  package static func size(forMagic magic: UInt32) -> Int? {
    switch magic {
    case Magic.simpleReply: simpleSize
    case Magic.structuredReply: structuredSize
    case Magic.extendedReply: extendedSize
    default: nil
    }
  }

  /// The header at the start of `bytes`, in the form that its magic names. Nil where bytes are missing, and for another magic.
  @inline(__always)
  package init?(_ bytes: RawSpan) {
    switch Self.magic(bytes) {
    case Magic.simpleReply where bytes.byteCount >= Self.simpleSize:
      self.init(simple: bytes.loadBigEndian(8), error: NBDErrorCode(rawValue: bytes.loadBigEndian(4)))
    case Magic.structuredReply where bytes.byteCount >= Self.structuredSize:
      self.init(
        structured: bytes.loadBigEndian(8), ChunkType(rawValue: bytes.loadBigEndian(6)),
        flags: ReplyFlags(rawValue: bytes.loadBigEndian(4)), length: UInt64(bytes.loadBigEndian(16, as: UInt32.self)))
    case Magic.extendedReply where bytes.byteCount >= Self.extendedSize:
      self.init(
        extended: bytes.loadBigEndian(8), ChunkType(rawValue: bytes.loadBigEndian(6)),
        flags: ReplyFlags(rawValue: bytes.loadBigEndian(4)), offset: bytes.loadBigEndian(16),
        length: bytes.loadBigEndian(24))
    default: return nil
    }
  }

  package func append(to bytes: inout [UInt8]) {
    switch form {
    case .simple:
      bytes.appendBigEndian(Magic.simpleReply)
      bytes.appendBigEndian(error.rawValue)
      bytes.appendBigEndian(handle)
    case .structured:
      appendChunk(Magic.structuredReply, to: &bytes)
      bytes.appendBigEndian(UInt32(truncatingIfNeeded: length))
    case .extended:
      appendChunk(Magic.extendedReply, to: &bytes)
      bytes.appendBigEndian(offset)
      bytes.appendBigEndian(length)
    }
  }

  /// What the two kinds of chunks begin with.
  private func appendChunk(_ magic: UInt32, to bytes: inout [UInt8]) {
    bytes.appendBigEndian(magic)
    bytes.appendBigEndian(flags.rawValue)
    bytes.appendBigEndian(type.rawValue)
    bytes.appendBigEndian(handle)
  }
}
