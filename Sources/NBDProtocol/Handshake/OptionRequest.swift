/// The client's side of option haggling: encoding an option (*Newstyle negotiation*, *Option types*).
///
/// Every string has been checked by ``HandshakeRequest/checked()``, which bounds all lengths here far below
/// 32 bits.
enum OptionRequest {
  /// An option with its data. Most options must not have any.
  static func encode(_ option: OptionType, data: [UInt8] = []) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(16 + data.count)
    bytes.appendBigEndian(Magic.option)
    bytes.appendBigEndian(option.rawValue)
    bytes.appendBigEndian(UInt32(data.count))
    bytes += data
    return bytes
  }

  /// `NBD_OPT_EXPORT_NAME`: the name is the whole data.
  static func exportName(_ name: String) -> [UInt8] { encode(.exportName, data: Array(name.utf8)) }

  /// `NBD_OPT_INFO` or `NBD_OPT_GO`, with the items that the client would like to be told.
  static func information(_ option: OptionType, name: String, items: [InfoType]) -> [UInt8] {
    var data: [UInt8] = []
    append(name, to: &data)
    data.appendBigEndian(UInt16(items.count))
    for item in items { data.appendBigEndian(item.rawValue) }
    return encode(option, data: data)
  }

  /// `NBD_OPT_LIST_META_CONTEXT` or `NBD_OPT_SET_META_CONTEXT`.
  static func metaContext(_ option: OptionType, name: String, queries: [String]) -> [UInt8] {
    var data: [UInt8] = []
    append(name, to: &data)
    data.appendBigEndian(UInt32(queries.count))
    for query in queries { append(query, to: &data) }
    return encode(option, data: data)
  }

  private static func append(_ string: String, to data: inout [UInt8]) {
    data.appendBigEndian(UInt32(string.utf8.count))
    data += string.utf8
  }
}
