/// What the replies to `NBD_OPT_INFO` or `NBD_OPT_GO` have said so far, in whatever order they came
/// (`NBD_REP_INFO`, *Option reply types*).
struct ExportInformation: Hashable, Sendable {
  /// Size in bytes and transmission flags (`NBD_INFO_EXPORT`), the one item that every success must have.
  struct Essentials: Hashable, Sendable {
    var size: UInt64
    var flags: TransmissionFlags
  }

  private(set) var essentials: Essentials?
  private(set) var canonicalName: String?
  private(set) var description: String?
  private(set) var blockSizes: BlockSizes?

  /// The items that this client asks for. `NBD_INFO_EXPORT` comes unasked.
  static let requested: [InfoType] = [.blockSize, .name, .description]

  /// Takes the payload of one `NBD_REP_INFO`. An item twice is fine as long as it does not change its mind.
  mutating func add(_ payload: RawSpan, answering option: OptionType) throws(NBDError) {
    guard let type = InfoType(payload) else {
      throw .brokenReply(
        to: option, expected: "\(OptionReplyType.info) of at least 2 bytes", found: "\(payload.byteCount)")
    }
    if let size = InfoItem.size(of: type), payload.byteCount != size {
      throw .brokenReply(to: option, expected: "\(type) of \(size) bytes", found: "\(payload.byteCount)")
    }
    switch InfoItem(payload) {
    case .export(let size, let flags):
      try Self.keep(Essentials(size: size, flags: flags), in: &essentials, type, option)
    case .blockSize(let minimum, let preferred, let maximumPayload):
      let sizes = BlockSizes(minimum: minimum, preferred: preferred, maximumPayload: maximumPayload)
      try Self.keep(sizes, in: &blockSizes, type, option)
    case .name(let name):
      // Only shown to people, so a name that breaks the rules is not worth the connection.
      canonicalName = ServerWords.string(name)
    case .description(let text):
      description = ServerWords.text(text)
    case .unknown, nil:
      break  // "MUST ignore information types that it does not recognize"
    }
  }

  private static func keep<Item: Equatable>(
    _ item: Item, in place: inout Item?, _ type: InfoType, _ option: OptionType
  ) throws(NBDError) {
    if let before = place, before != item {
      throw .brokenReply(to: option, expected: "\(type) to say the same each time", found: "\(before), then \(item)")
    }
    place = item
  }
}

extension BlockSizes {
  /// The sizes as the transmission phase can use them, where they obey *Size constraints*.
  ///
  /// - Throws: a violation that names the size. Going on with others instead would send requests that the server
  ///   may refuse, or round by a size that is no power of two.
  func checked(exportSize: UInt64) throws(NBDError) -> BlockSizes {
    guard minimum.nonzeroBitCount == 1, minimum <= Limits.minimumBlockSize else {
      throw .broken(
        "the minimum block size", expected: "a power of two up to \(Limits.minimumBlockSize)", found: "\(minimum)")
    }
    let least = max(minimum, 512)
    guard preferred.nonzeroBitCount == 1, preferred >= least else {
      throw .broken(
        "the preferred block size", expected: "a power of two from \(least) up", found: "\(preferred)")
    }
    // Servers of exports smaller than the preferred size cut the maximum down to the export, which can do no
    // harm: no request is larger than that.
    guard UInt64(maximumPayload) >= min(UInt64(preferred), exportSize) else {
      throw .broken(
        "the maximum payload size", expected: "at least \(min(UInt64(preferred), exportSize))",
        found: "\(maximumPayload)")
    }
    var sizes = self
    sizes.maximumPayload = max(maximumPayload, preferred)
    return sizes
  }
}
