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
    guard payload.byteCount >= 2 else {
      throw .brokenReply(to: option, expected: "NBD_REP_INFO of at least 2 bytes", found: "\(payload.byteCount)")
    }
    switch InfoType(rawValue: payload.loadBigEndian(0)) {
    case .export:
      try Self.check(payload, size: 12, "NBD_INFO_EXPORT", option)
      let item = Essentials(
        size: payload.loadBigEndian(2), flags: TransmissionFlags(rawValue: payload.loadBigEndian(10)))
      try Self.keep(item, in: &essentials, "NBD_INFO_EXPORT", option)
    case .blockSize:
      try Self.check(payload, size: 14, "NBD_INFO_BLOCK_SIZE", option)
      let item = BlockSizes(
        minimum: payload.loadBigEndian(2), preferred: payload.loadBigEndian(6),
        maximumPayload: payload.loadBigEndian(10))
      try Self.keep(item, in: &blockSizes, "NBD_INFO_BLOCK_SIZE", option)
    case .name:
      // Only shown to people, so a name that breaks the rules is not worth the connection.
      canonicalName = OptionReply.string(payload.extracting(2...))
    case .description:
      description = OptionReply.text(payload.extracting(2...))
    default:
      break  // "MUST ignore information types that it does not recognize"
    }
  }

  private static func check(
    _ payload: RawSpan, size: Int, _ item: String, _ option: OptionType
  ) throws(NBDError) {
    guard payload.byteCount == size else {
      throw .brokenReply(to: option, expected: "\(item) of \(size) bytes", found: "\(payload.byteCount)")
    }
  }

  private static func keep<Item: Equatable>(
    _ item: Item, in place: inout Item?, _ name: String, _ option: OptionType
  ) throws(NBDError) {
    if let before = place, before != item {
      throw .brokenReply(to: option, expected: "\(name) to say the same each time", found: "\(before), then \(item)")
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
