/// The payloads of structured and extended reply chunks, behind the header (*Structured reply types*).
///
/// | type                                                        | payload                                          |
/// |-------------------------------------------------------------|--------------------------------------------------|
/// | `NBD_REPLY_TYPE_NONE`                                       | none                                             |
/// | `NBD_REPLY_TYPE_OFFSET_DATA`                                | ``OffsetData``, then the data                    |
/// | `NBD_REPLY_TYPE_OFFSET_HOLE`                                | ``OffsetHole``                                   |
/// | `NBD_REPLY_TYPE_BLOCK_STATUS`, `_BLOCK_STATUS_EXT`          | ``StatusHeader``, then each ``StatusDescriptor`` |
/// | `NBD_REPLY_TYPE_ERROR`, `_ERROR_OFFSET`, all other errors   | ``ErrorChunk``                                   |

/// The start of a chunk with content of a read.
///
/// | offset | size  | `NBD_REPLY_TYPE_OFFSET_DATA`             |
/// |-------:|------:|------------------------------------------|
/// |      0 |     8 | offset in bytes, from the export's start |
/// |      8 | *n*-8 | the data                                 |
package struct OffsetData: WireLayout {
  package var offset: UInt64

  /// Size in bytes of what is in front of the data.
  package static let size = 8

  package init(offset: UInt64) { self.offset = offset }

  @inline(__always)
  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    offset = bytes.loadBigEndian(0)
  }

  package func append(to bytes: inout [UInt8]) { bytes.appendBigEndian(offset) }
}

/// A chunk that says where a read gives zeros.
///
/// | offset | size | `NBD_REPLY_TYPE_OFFSET_HOLE`             |
/// |-------:|-----:|------------------------------------------|
/// |      0 |    8 | offset in bytes, from the export's start |
/// |      8 |    4 | size of the hole in bytes                |
package struct OffsetHole: WireLayout {
  package var offset: UInt64
  package var length: UInt32

  /// Size in bytes.
  package static let size = 12

  package init(offset: UInt64, length: UInt32) {
    self.offset = offset
    self.length = length
  }

  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    offset = bytes.loadBigEndian(0)
    length = bytes.loadBigEndian(8)
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendBigEndian(offset)
    bytes.appendBigEndian(length)
  }
}

/// The start of a chunk with what one metadata context says about a range.
///
/// | offset | size | `NBD_REPLY_TYPE_BLOCK_STATUS`      | `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`   |
/// |-------:|-----:|------------------------------------|-------------------------------------|
/// |      0 |    4 | metadata context, its number       | the same                            |
/// |      4 |    4 |                                    | number of descriptors               |
/// |      4 |      | ``StatusDescriptor``, 8 bytes each |                                     |
/// |      8 |      |                                    | ``StatusDescriptor``, 16 bytes each |
package struct StatusHeader: Hashable, Sendable {
  package var contextID: UInt32
  /// Extended only: how many descriptors the server says there are.
  package var count: UInt32?

  package init(contextID: UInt32, count: UInt32? = nil) {
    self.contextID = contextID
    self.count = count
  }

  /// Size in bytes of what is in front of the descriptors.
  package static func size(extended: Bool) -> Int { extended ? 8 : 4 }

  /// The fields at the start of `bytes`; nil where bytes are missing.
  package init?(_ bytes: RawSpan, extended: Bool) {
    guard bytes.byteCount >= Self.size(extended: extended) else { return nil }
    contextID = bytes.loadBigEndian(0)
    count = extended ? bytes.loadBigEndian(4) : nil
  }

  /// Appends the fields' bytes; those of the extended form where there is a ``count``.
  package func append(to bytes: inout [UInt8]) {
    bytes.appendBigEndian(contextID)
    if let count { bytes.appendBigEndian(count) }
  }
}

/// A run of bytes of one status. Descriptors follow one another without gaps, from the request's offset on.
///
/// | offset | size | `NBD_REPLY_TYPE_BLOCK_STATUS` | `NBD_REPLY_TYPE_BLOCK_STATUS_EXT` |
/// |-------:|-----:|-------------------------------|-----------------------------------|
/// |      0 |    4 | length in bytes               |                                   |
/// |      4 |    4 | status flags                  |                                   |
/// |      0 |    8 |                               | length in bytes                   |
/// |      8 |    8 |                               | status flags                      |
package struct StatusDescriptor: Hashable, Sendable {
  package var length: UInt64
  package var status: UInt64

  package init(length: UInt64, status: UInt64) {
    self.length = length
    self.status = status
  }

  /// Size in bytes.
  @inline(__always)
  package static func size(extended: Bool) -> Int { extended ? 16 : 8 }

  /// The fields at the start of `bytes`; nil where bytes are missing.
  @inline(__always)
  package init?(_ bytes: RawSpan, extended: Bool) {
    guard bytes.byteCount >= Self.size(extended: extended) else { return nil }
    if extended {
      length = bytes.loadBigEndian(0)
      status = bytes.loadBigEndian(8)
    } else {
      length = UInt64(bytes.loadBigEndian(0, as: UInt32.self))
      status = UInt64(bytes.loadBigEndian(4, as: UInt32.self))
    }
  }

  /// Appends the fields' bytes; of the short form, the low 32 bits of each.
  package func append(to bytes: inout [UInt8], extended: Bool) {
    if extended {
      bytes.appendBigEndian(length)
      bytes.appendBigEndian(status)
    } else {
      bytes.appendBigEndian(UInt32(truncatingIfNeeded: length))
      bytes.appendBigEndian(UInt32(truncatingIfNeeded: status))
    }
  }
}

/// The payload of an error chunk. Types of errors that this library does not know begin like `NBD_REPLY_TYPE_ERROR`.
///
/// | offset   | size | `NBD_REPLY_TYPE_ERROR`    | `NBD_REPLY_TYPE_ERROR_OFFSET`            |
/// |---------:|-----:|---------------------------|------------------------------------------|
/// |        0 |    4 | error                     | the same                                 |
/// |        4 |    2 | *m*, bytes of the message | the same                                 |
/// |        6 |  *m* | message, for people       | the same                                 |
/// |  6 + *m* |    8 |                           | offset in bytes, from the export's start |
package struct ErrorChunk: Hashable, Sendable {
  package var code: NBDErrorCode
  package var message: [UInt8]
  /// `NBD_REPLY_TYPE_ERROR_OFFSET` only.
  package var offset: UInt64?

  package init(_ code: NBDErrorCode, message: [UInt8] = [], offset: UInt64? = nil) {
    self.code = code
    self.message = message
    self.offset = offset
  }

  /// Size in bytes of all but the message.
  package static func sizeWithoutMessage(_ type: ChunkType) -> Int { type == .errorOffset ? 14 : 6 }

  /// The fields at the start of `bytes`, which are a chunk of `type`; nil where bytes are missing.
  package init?(_ bytes: RawSpan, _ type: ChunkType) {
    let size = Self.sizeWithoutMessage(type)
    guard bytes.byteCount >= size else { return nil }
    let count = Int(bytes.loadBigEndian(4, as: UInt16.self))
    guard count <= bytes.byteCount - size else { return nil }
    code = NBDErrorCode(rawValue: bytes.loadBigEndian(0))
    message = bytes.extracting(6..<(6 + count)).copyBytes()
    offset = type == .errorOffset ? bytes.loadBigEndian(6 + count) : nil
  }

  /// Appends the fields' bytes; an ``offset`` where there is one.
  package func append(to bytes: inout [UInt8]) {
    bytes.appendBigEndian(code.rawValue)
    bytes.appendBigEndian(UInt16(truncatingIfNeeded: message.count))
    bytes += message
    if let offset { bytes.appendBigEndian(offset) }
  }
}
