/// A message of the protocol, or a part of one: its fields, and where their bytes are.
///
/// A layout judges nothing. What the specification forbids is decoded as it came, and encoded as it was given; the checks are
/// the machines'. The table at each type has offset and size in bytes; *n* is what an earlier field or the message's header
/// says. Every integer is unsigned and big-endian, and every string is counted by what is in front of it, never ended by a NUL
/// (*Conventions*).
package protocol WireLayout: Hashable, Sendable {
  /// The fields at the start of `bytes`. What follows them is not looked at, but by a layout whose last field is the rest.
  /// Nil where bytes are missing; nothing in `bytes` traps.
  init?(_ bytes: RawSpan)

  /// Appends the fields' bytes to `bytes`.
  func append(to bytes: inout [UInt8])
}

extension WireLayout {
  /// The fields' bytes.
  package var encoded: [UInt8] {
    var bytes: [UInt8] = []
    append(to: &bytes)
    return bytes
  }
}

/// A number that is a message of its own, or all that is looked at of one.
extension WireLayout where Self: RawRepresentable, RawValue: FixedWidthInteger & UnsignedInteger & BitwiseCopyable {
  /// Size in bytes.
  package static var size: Int { RawValue.bitWidth / 8 }

  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    self.init(rawValue: bytes.loadBigEndian(0))
  }

  package func append(to bytes: inout [UInt8]) { bytes.appendBigEndian(rawValue) }
}
