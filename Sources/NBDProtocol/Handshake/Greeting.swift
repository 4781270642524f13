/// The greeting: what the server says before the client says anything (*Oldstyle negotiation*, *Newstyle
/// negotiation*).
enum Greeting {
  /// Size in bytes of each of the two magics.
  static let magicSize = 8
  /// Size in bytes of the newstyle handshake flags.
  static let handshakeFlagsSize = 2
  /// Size in bytes of what follows the magics in an oldstyle greeting: size, flags, reserved zeros.
  static let oldstyleSize = 8 + 4 + reservedSize
  /// The zeros after an export's size and flags, kept for growth that never came.
  static let reservedSize = 124

  enum Style { case oldstyle, newstyle }

  /// The first magic. What else listens on a port (HTTP, SSH, TLS) is named by its own first words.
  static func checkMagic(_ bytes: RawSpan) throws(NBDError) {
    let magic: UInt64 = bytes.loadBigEndian(0)
    guard magic == Magic.initial else {
      throw .broken("the greeting is not NBD's", expected: quoted(Magic.initial), found: quoted(magic))
    }
  }

  /// The second magic says which negotiation follows.
  static func style(_ bytes: RawSpan) throws(NBDError) -> Style {
    let magic: UInt64 = bytes.loadBigEndian(0)
    switch magic {
    case Magic.option: return .newstyle
    case Magic.oldstyle: return .oldstyle
    default:
      throw .broken(
        "the greeting's second magic", expected: "\(quoted(Magic.option)) or \(hex(Magic.oldstyle))",
        found: quoted(magic))
    }
  }

  /// The answer to the server's flags: what both sides know. Unknown bits are not answered.
  static func clientFlags(for flags: HandshakeFlags) -> ClientFlags {
    var answer: ClientFlags = []
    if flags.contains(.fixedNewstyle) { answer.insert(.fixedNewstyle) }
    if flags.contains(.noZeroes) { answer.insert(.noZeroes) }
    return answer
  }

  /// Size and flags of an oldstyle export. The upper half of the 32 bits is where newstyle has its
  /// handshake flags; it means nothing here.
  static func oldstyleExport(_ bytes: RawSpan) -> (size: UInt64, flags: TransmissionFlags) {
    let flags: UInt32 = bytes.loadBigEndian(8)
    return (bytes.loadBigEndian(0), TransmissionFlags(rawValue: UInt16(truncatingIfNeeded: flags)))
  }

  private static func quoted(_ magic: UInt64) -> String {
    var bytes: [UInt8] = []
    bytes.appendBigEndian(magic)
    return "\(hex(magic)) (\"\(printable(String(decoding: bytes, as: UTF8.self)))\")"
  }
}
