/// The greeting: what the server says before the client says anything, and the client's answer.
///
/// *Newstyle negotiation*; an oldstyle server (*Oldstyle negotiation*) differs from the second magic on, and is not answered:
///
/// | offset | size | newstyle                                    | oldstyle                               |
/// |-------:|-----:|---------------------------------------------|----------------------------------------|
/// |      0 |    8 | magic, ``Magic/initial``                    | the same                               |
/// |      8 |    8 | magic, ``Magic/option``                     | magic, ``Magic/oldstyle``              |
/// |     16 |      | ``HandshakeFlags``, 2 bytes                 | ``OldstyleExport``, 136 bytes          |
/// |        |      | the client answers ``ClientFlags``, 4 bytes | the transmission phase follows         |
package struct GreetingMagic: WireLayout, RawRepresentable {
  package let rawValue: UInt64
  package init(rawValue: UInt64) { self.rawValue = rawValue }
}

extension HandshakeFlags: WireLayout {}

extension ClientFlags: WireLayout {}

/// The export of an oldstyle server, behind the magics (*Oldstyle negotiation*).
///
/// | offset | size | field                                            |
/// |-------:|-----:|--------------------------------------------------|
/// |      0 |    8 | size of the export in bytes                      |
/// |      8 |    4 | flags; the lower half are transmission flags     |
/// |     12 |  124 | zeros, reserved; not looked at                   |
package struct OldstyleExport: WireLayout {
  package var size: UInt64
  package var flags: UInt32

  /// Size in bytes of the whole.
  package static let encodedSize = 8 + 4 + ExportNameReply.reservedSize

  package init(size: UInt64, flags: UInt32) {
    self.size = size
    self.flags = flags
  }

  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.encodedSize else { return nil }
    size = bytes.loadBigEndian(0)
    flags = bytes.loadBigEndian(8)
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendBigEndian(size)
    bytes.appendBigEndian(flags)
    bytes += repeatElement(0, count: ExportNameReply.reservedSize)
  }

  /// The upper half of ``flags`` is where newstyle has its handshake flags; it means nothing here.
  package var transmissionFlags: TransmissionFlags { TransmissionFlags(rawValue: UInt16(truncatingIfNeeded: flags)) }
}
