/// The data of `NBD_REP_INFO`: one thing about an export, in answer to `NBD_OPT_INFO` or `NBD_OPT_GO` (*Option reply types*).
///
/// | offset | size | `NBD_INFO_EXPORT`           |
/// |-------:|-----:|-----------------------------|
/// |      0 |    2 | information type, 0         |
/// |      2 |    8 | size of the export in bytes |
/// |     10 |    2 | transmission flags          |
///
/// | offset | size | `NBD_INFO_BLOCK_SIZE`                         |
/// |-------:|-----:|-----------------------------------------------|
/// |      0 |    2 | information type, 3                           |
/// |      2 |    4 | minimum block size in bytes                   |
/// |      6 |    4 | preferred block size in bytes                 |
/// |     10 |    4 | maximum payload of one request in bytes       |
///
/// | offset | size | `NBD_INFO_NAME`, `NBD_INFO_DESCRIPTION`, any other |
/// |-------:|-----:|----------------------------------------------------|
/// |      0 |    2 | information type, 1, 2, other                      |
/// |      2 | rest | canonical name; description, for people; unknown   |
package enum InfoItem: WireLayout {
  case export(size: UInt64, flags: TransmissionFlags)
  case name([UInt8])
  case description([UInt8])
  case blockSize(minimum: UInt32, preferred: UInt32, maximumPayload: UInt32)
  /// A type that this library does not know, and what came with it.
  case unknown(InfoType, [UInt8])

  package init?(_ bytes: RawSpan) {
    guard let type = InfoType(bytes), bytes.byteCount >= Self.size(of: type) ?? 0 else { return nil }
    self =
      switch type {
      case .export: .export(size: bytes.loadBigEndian(2), flags: TransmissionFlags(rawValue: bytes.loadBigEndian(10)))
      case .name: .name(bytes.copyBytes(from: 2))
      case .description: .description(bytes.copyBytes(from: 2))
      case .blockSize:
        .blockSize(
          minimum: bytes.loadBigEndian(2), preferred: bytes.loadBigEndian(6), maximumPayload: bytes.loadBigEndian(10))
      default: .unknown(type, bytes.copyBytes(from: 2))
      }
  }

  package func append(to bytes: inout [UInt8]) {
    type.append(to: &bytes)
    switch self {
    case .export(let size, let flags):
      bytes.appendBigEndian(size)
      bytes.appendBigEndian(flags.rawValue)
    case .name(let text), .description(let text), .unknown(_, let text):
      bytes += text
    case .blockSize(let minimum, let preferred, let maximumPayload):
      for size in [minimum, preferred, maximumPayload] { bytes.appendBigEndian(size) }
    }
  }

  package var type: InfoType {
    switch self {
    case .export: .export
    case .name: .name
    case .description: .description
    case .blockSize: .blockSize
    case .unknown(let type, _): type
    }
  }

  /// Size in bytes of the whole item, where the type has a fixed one.
  package static func size(of type: InfoType) -> Int? {
    switch type {
    case .export: 12
    case .blockSize: 14
    default: nil
    }
  }
}

/// An ``InfoItem`` begins with its type.
extension InfoType: WireLayout {}
