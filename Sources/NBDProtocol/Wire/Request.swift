/// The header of a request (*Request message*), in its compact and its extended form.
public struct RequestHeader: Hashable, Sendable {
  public var flags: CommandFlags
  public var command: Command
  /// The handle that the reply repeats. The specification calls it the cookie.
  public var handle: UInt64
  /// Bytes from the start of the export.
  public var offset: UInt64
  /// Bytes: payload of a write, otherwise the effect. Below 2^32 in the compact form.
  public var length: UInt64

  public init(flags: CommandFlags = [], command: Command, handle: UInt64, offset: UInt64, length: UInt64) {
    self.flags = flags
    self.command = command
    self.handle = handle
    self.offset = offset
    self.length = length
  }

  /// The soft disconnect (`NBD_CMD_DISC`). It has no reply.
  static let softDisconnect = RequestHeader(command: .disconnect, handle: 0, offset: 0, length: 0)

  /// Size in bytes of the compact header.
  public static let compactSize = 28
  /// Size in bytes of the extended header.
  public static let extendedSize = 32

  /// Writes the header at `destination` and returns its size in bytes.
  ///
  /// `destination` must have room for ``extendedSize`` bytes. The compact form has the low 32 bits of `length`: whoever makes
  /// requests knows that bound.
  @inline(__always)
  func encode(extended: Bool, to destination: UnsafeMutableRawPointer) -> Int {
    unsafe destination.storeBigEndian(extended ? Magic.extendedRequest : Magic.request, at: 0)
    unsafe destination.storeBigEndian(flags.rawValue, at: 4)
    unsafe destination.storeBigEndian(command.rawValue, at: 6)
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
  func encoded(extended: Bool) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Self.extendedSize) { buffer, count in
      guard let start = buffer.baseAddress else { return }
      // SAFETY: the buffer has room for the larger of the two headers, and `encode` fills what it counts.
      count = unsafe encode(extended: extended, to: UnsafeMutableRawPointer(start))
    }
  }
}
