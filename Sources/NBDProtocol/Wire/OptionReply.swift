/// What a server answers in the option haggling: a header, and each type's data (*Fixed newstyle negotiation*, *Option reply
/// types*).
///
/// | reply                  | data                                                      |
/// |------------------------|-----------------------------------------------------------|
/// | `NBD_REP_ACK`          | none                                                      |
/// | `NBD_REP_SERVER`       | ``ServerReply``                                           |
/// | `NBD_REP_INFO`         | ``InfoItem``                                              |
/// | `NBD_REP_META_CONTEXT` | ``MetaContextReply``                                      |
/// | `NBD_REP_ERR_...`      | words for a person: *n* bytes, no count in front, or none |

/// The header of every option reply (*Fixed newstyle negotiation*).
///
/// | offset | size | field                                 |
/// |-------:|-----:|---------------------------------------|
/// |      0 |    8 | magic, ``Magic/optionReply``          |
/// |      8 |    4 | the option that this is an answer to  |
/// |     12 |    4 | reply type                            |
/// |     16 |    4 | *n*, bytes of data                    |
/// |     20 |  *n* | the reply's data                      |
package struct OptionReplyHeader: WireLayout {
  package var magic: UInt64
  package var option: OptionType
  package var type: OptionReplyType
  /// Bytes of data that follow.
  package var length: UInt32

  /// Size in bytes.
  package static let size = 20

  package init(_ type: OptionReplyType, to option: OptionType, length: UInt32 = 0, magic: UInt64 = Magic.optionReply) {
    self.magic = magic
    self.option = option
    self.type = type
    self.length = length
  }

  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    magic = bytes.loadBigEndian(0)
    option = OptionType(rawValue: bytes.loadBigEndian(8))
    type = OptionReplyType(rawValue: bytes.loadBigEndian(12))
    length = bytes.loadBigEndian(16)
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendBigEndian(magic)
    bytes.appendBigEndian(option.rawValue)
    bytes.appendBigEndian(type.rawValue)
    bytes.appendBigEndian(length)
  }
}

/// The data of `NBD_REP_SERVER`: an export, in answer to `NBD_OPT_LIST` (*Option reply types*).
///
/// | offset  | size | field                                             |
/// |--------:|-----:|---------------------------------------------------|
/// |       0 |    4 | *n*, bytes of the name                            |
/// |       4 |  *n* | name of the export                                |
/// | 4 + *n* | rest | description, for people; most servers have none   |
package struct ServerReply: WireLayout {
  package var name: [UInt8]
  package var description: [UInt8]

  package init(name: [UInt8], description: [UInt8] = []) {
    self.name = name
    self.description = description
  }

  package init?(_ bytes: RawSpan) {
    guard let name = bytes.loadCounted() else { return nil }
    self.name = name.bytes
    description = bytes.copyBytes(from: name.end)
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendCounted(name)
    bytes += description
  }
}

/// The data of `NBD_REP_META_CONTEXT`, in answer to `NBD_OPT_LIST_META_CONTEXT` or `NBD_OPT_SET_META_CONTEXT` (*Option reply
/// types*).
///
/// | offset | size | field                                                    |
/// |-------:|-----:|----------------------------------------------------------|
/// |      0 |    4 | the server's number for the context; means nothing in a list |
/// |      4 | rest | name of the context                                      |
package struct MetaContextReply: WireLayout {
  package var id: UInt32
  package var name: [UInt8]

  package init(id: UInt32, name: [UInt8]) {
    self.id = id
    self.name = name
  }

  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= 4 else { return nil }
    id = bytes.loadBigEndian(0)
    name = bytes.copyBytes(from: 4)
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendBigEndian(id)
    bytes += name
  }
}

/// The answer to `NBD_OPT_EXPORT_NAME`, which has no header (*Newstyle negotiation*).
///
/// | offset | size | field                                                                    |
/// |-------:|-----:|--------------------------------------------------------------------------|
/// |      0 |    8 | size of the export in bytes                                              |
/// |      8 |    2 | transmission flags                                                       |
/// |     10 |  124 | zeros, reserved; left out where ``ClientFlags/noZeroes`` was agreed, and no part of this value |
package struct ExportNameReply: WireLayout {
  package var size: UInt64
  package var flags: TransmissionFlags

  /// Size in bytes without the zeros.
  package static let encodedSize = 10
  /// Size in bytes of the zeros, kept for growth that never came.
  package static let reservedSize = 124

  package init(size: UInt64, flags: TransmissionFlags) {
    self.size = size
    self.flags = flags
  }

  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.encodedSize else { return nil }
    size = bytes.loadBigEndian(0)
    flags = TransmissionFlags(rawValue: bytes.loadBigEndian(8))
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendBigEndian(size)
    bytes.appendBigEndian(flags.rawValue)
  }
}
