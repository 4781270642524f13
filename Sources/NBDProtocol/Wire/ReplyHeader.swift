/// The header of any reply: simple, structured or extended (*Simple reply message*, *Structured reply chunk
/// message*, *Extended reply chunk message*).
public struct ReplyHeader: Hashable, Sendable {
  public var form: ReplyForm
  /// The handle of the request that this answers.
  public var handle: UInt64
  /// Simple replies only; zero is success.
  public var error: NBDErrorCode
  /// Structured and extended replies only.
  public var flags: ReplyFlags
  /// Structured and extended replies only.
  public var type: ChunkType
  /// Extended replies only: the request's offset, repeated.
  public var offset: UInt64
  /// Payload bytes after the header. A simple reply does not say: its request does.
  public var length: UInt64

  /// Size in bytes of a simple reply's header.
  public static let simpleSize = 16
  /// Size in bytes of a structured reply chunk's header.
  public static let structuredSize = 20
  /// Size in bytes of an extended reply chunk's header.
  public static let extendedSize = 32

  /// Bytes in front of a read's data in a reply: the header, and in a chunk the data's offset (*Structured reply types*).
  static func sizeBeforeData(_ replies: ReplyForm) -> Int {
    switch replies {
    case .simple: simpleSize
    case .structured: structuredSize + 8
    case .extended: extendedSize + 8
    }
  }

  /// Size in bytes of the header that begins with `magic`, or nil where no reply begins so.
  @inline(__always)
  static func size(forMagic magic: UInt32) -> Int? {
    switch magic {
    case Magic.simpleReply: simpleSize
    case Magic.structuredReply: structuredSize
    case Magic.extendedReply: extendedSize
    default: nil
    }
  }

  /// Decodes the header at the start of `bytes`, which must hold ``size(forMagic:)`` bytes for its magic.
  @inline(__always)
  init(_ bytes: RawSpan) {
    handle = bytes.loadBigEndian(8)
    switch bytes.loadBigEndian(0, as: UInt32.self) {
    case Magic.simpleReply:
      form = .simple
      error = NBDErrorCode(rawValue: bytes.loadBigEndian(4))
      flags = .done
      type = .none
      offset = 0
      length = 0
    case Magic.extendedReply:
      form = .extended
      error = NBDErrorCode(rawValue: 0)
      flags = ReplyFlags(rawValue: bytes.loadBigEndian(4))
      type = ChunkType(rawValue: bytes.loadBigEndian(6))
      offset = bytes.loadBigEndian(16)
      length = bytes.loadBigEndian(24)
    default:
      form = .structured
      error = NBDErrorCode(rawValue: 0)
      flags = ReplyFlags(rawValue: bytes.loadBigEndian(4))
      type = ChunkType(rawValue: bytes.loadBigEndian(6))
      offset = 0
      length = UInt64(bytes.loadBigEndian(16, as: UInt32.self))
    }
  }
}
