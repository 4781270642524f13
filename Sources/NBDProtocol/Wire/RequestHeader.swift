/// The header of a request (*Request message*), in its compact and its extended form. The payload of a write follows it.
///
/// | offset | size | compact                     | extended                                           |
/// |-------:|-----:|-----------------------------|----------------------------------------------------|
/// |      0 |    4 | magic, ``Magic/request``    | magic, ``Magic/extendedRequest``                   |
/// |      4 |    2 | command flags               | the same                                           |
/// |      6 |    2 | type                        | the same                                           |
/// |      8 |    8 | cookie: the handle          | the same                                           |
/// |     16 |    8 | offset in bytes             | the same                                           |
/// |     24 |    4 | length in bytes             |                                                    |
/// |     24 |    8 |                             | payload's length in bytes, or the effect's         |
package struct RequestHeader: Hashable, Sendable {
  package var flags: CommandFlags
  /// A ``Command``, or any other number.
  package var type: UInt16
  /// The handle that the reply repeats. The specification calls it the cookie.
  package var handle: UInt64
  /// Bytes from the start of the export.
  package var offset: UInt64
  /// Bytes: payload of a write, otherwise the effect. Below 2^32 in the compact form.
  package var length: UInt64

  package init(flags: CommandFlags = [], command: Command, handle: UInt64, offset: UInt64, length: UInt64) {
    self.flags = flags
    type = command.rawValue
    self.handle = handle
    self.offset = offset
    self.length = length
  }

  /// The soft disconnect (`NBD_CMD_DISC`). It has no reply.
  static let softDisconnect = RequestHeader(command: .disconnect, handle: 0, offset: 0, length: 0)

  /// Size in bytes of the compact header.
  package static let compactSize = 28
  /// Size in bytes of the extended header.
  package static let extendedSize = 32

  /// Size in bytes of the header that begins with `magic`, or nil where no request begins so.
  package static func size(forMagic magic: UInt32) -> Int? {
    switch magic {
    case Magic.request: compactSize
    case Magic.extendedRequest: extendedSize
    default: nil
    }
  }

  /// The header at the start of `bytes`, in the form that its magic names. Nil where bytes are missing, and for another magic.
  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= 4, let size = Self.size(forMagic: bytes.loadBigEndian(0)), bytes.byteCount >= size else {
      return nil
    }
    flags = CommandFlags(rawValue: bytes.loadBigEndian(4))
    type = bytes.loadBigEndian(6)
    handle = bytes.loadBigEndian(8)
    offset = bytes.loadBigEndian(16)
    length = size == Self.extendedSize ? bytes.loadBigEndian(24) : UInt64(bytes.loadBigEndian(24, as: UInt32.self))
  }

  /// Writes the header at `destination` and returns its size in bytes.
  ///
  /// `destination` must have room for ``extendedSize`` bytes. The compact form has the low 32 bits of `length`: whoever makes
  /// requests knows that bound.
  @inline(__always)
  func encode(extended: Bool, to destination: UnsafeMutableRawPointer) -> Int {
    unsafe destination.storeBigEndian(extended ? Magic.extendedRequest : Magic.request, at: 0)
    unsafe destination.storeBigEndian(flags.rawValue, at: 4)
    unsafe destination.storeBigEndian(type, at: 6)
    unsafe destination.storeBigEndian(handle, at: 8)
    unsafe destination.storeBigEndian(offset, at: 16)
    if extended {
      unsafe destination.storeBigEndian(length, at: 24)
      return Self.extendedSize
    }
    unsafe destination.storeBigEndian(UInt32(truncatingIfNeeded: length), at: 24)
    return Self.compactSize
  }

  /// The header's bytes, for where there is one only.
  package func encoded(extended: Bool) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Self.extendedSize) { buffer, count in
      guard let start = buffer.baseAddress else { return }
      // SAFETY: the buffer has room for the larger of the two headers, and `encode` fills what it counts.
      count = unsafe encode(extended: extended, to: UnsafeMutableRawPointer(start))
    }
  }
}
