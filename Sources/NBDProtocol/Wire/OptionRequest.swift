/// What a client says in the option haggling: a header, and each option's data (*Newstyle negotiation*, *Option types*).
///
/// | option                                                              | data                                   |
/// |---------------------------------------------------------------------|----------------------------------------|
/// | `NBD_OPT_EXPORT_NAME`                                               | the name: *n* bytes, no count in front |
/// | `NBD_OPT_INFO`, `NBD_OPT_GO`                                        | ``InformationRequest``                 |
/// | `NBD_OPT_LIST_META_CONTEXT`, `NBD_OPT_SET_META_CONTEXT`             | ``MetaContextRequest``                 |
/// | `NBD_OPT_ABORT`, `_LIST`, `_STARTTLS`, `_STRUCTURED_REPLY`, `_EXTENDED_HEADERS` | none                       |

/// The header of every option (*Newstyle negotiation*).
///
/// | offset | size | field                    |
/// |-------:|-----:|--------------------------|
/// |      0 |    8 | magic, ``Magic/option``  |
/// |      8 |    4 | option                   |
/// |     12 |    4 | *n*, bytes of data       |
/// |     16 |  *n* | the option's data        |
package struct OptionHeader: WireLayout {
  package var magic: UInt64
  package var option: OptionType
  /// Bytes of data that follow.
  package var length: UInt32

  /// Size in bytes.
  package static let size = 16

  package init(_ option: OptionType, length: UInt32 = 0, magic: UInt64 = Magic.option) {
    self.magic = magic
    self.option = option
    self.length = length
  }

  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.size else { return nil }
    magic = bytes.loadBigEndian(0)
    option = OptionType(rawValue: bytes.loadBigEndian(8))
    length = bytes.loadBigEndian(12)
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendBigEndian(magic)
    bytes.appendBigEndian(option.rawValue)
    bytes.appendBigEndian(length)
  }
}

/// The data of `NBD_OPT_INFO` and `NBD_OPT_GO` (*Option types*).
///
/// | offset   | size    | field                                 |
/// |---------:|--------:|---------------------------------------|
/// |        0 |       4 | *n*, bytes of the name                |
/// |        4 |     *n* | name of the export                    |
/// |  4 + *n* |       2 | *k*, number of information requests   |
/// |  6 + *n* | 2 × *k* | the requests, an ``InfoType`` each    |
package struct InformationRequest: WireLayout {
  package var name: [UInt8]
  package var items: [InfoType]

  package init(name: [UInt8], items: [InfoType]) {
    self.name = name
    self.items = items
  }

  package init?(_ bytes: RawSpan) {
    guard let name = bytes.loadCounted(), name.end <= bytes.byteCount - 2 else { return nil }
    let count = Int(bytes.loadBigEndian(name.end, as: UInt16.self))
    let start = name.end + 2
    guard 2 * count <= bytes.byteCount - start else { return nil }
    self.name = name.bytes
    items = []
    for index in 0..<count { items.append(InfoType(rawValue: bytes.loadBigEndian(start + 2 * index))) }
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendCounted(name)
    bytes.appendBigEndian(UInt16(truncatingIfNeeded: items.count))
    for item in items { bytes.appendBigEndian(item.rawValue) }
  }
}

/// The data of `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT` (*Option types*).
///
/// | offset   | size | field                                           |
/// |---------:|-----:|-------------------------------------------------|
/// |        0 |    4 | *n*, bytes of the name                          |
/// |        4 |  *n* | name of the export                              |
/// |  4 + *n* |    4 | number of queries                               |
/// |  8 + *n* |      | each query: its bytes, counted by 4 before them |
package struct MetaContextRequest: WireLayout {
  package var name: [UInt8]
  package var queries: [[UInt8]]

  package init(name: [UInt8], queries: [[UInt8]]) {
    self.name = name
    self.queries = queries
  }

  package init?(_ bytes: RawSpan) {
    guard let name = bytes.loadCounted(), name.end <= bytes.byteCount - 4 else { return nil }
    let count: UInt32 = bytes.loadBigEndian(name.end)
    var end = name.end + 4
    self.name = name.bytes
    queries = []
    // Each takes 4 bytes or more, so that a count that claims too much ends soon.
    for _ in 0..<count {
      guard let query = bytes.loadCounted(end) else { return nil }
      queries.append(query.bytes)
      end = query.end
    }
  }

  package func append(to bytes: inout [UInt8]) {
    bytes.appendCounted(name)
    bytes.appendBigEndian(UInt32(truncatingIfNeeded: queries.count))
    for query in queries { bytes.appendCounted(query) }
  }
}
