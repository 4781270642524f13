/// What a negotiation settled: everything that the transmission phase needs to know.
public struct Export: Hashable, Sendable {
  /// Which flavour of the handshake the server spoke.
  public enum Handshake: String, Hashable, Sendable {
    /// Size and flags in the greeting (*Oldstyle negotiation*).
    case oldstyle = "oldstyle"
    /// Options, but a server that hangs up on one it does not know (*Newstyle negotiation*).
    case newstyle = "newstyle"
    /// Options that are all answered (*Fixed newstyle negotiation*).
    case fixedNewstyle = "newstyle-fixed"
  }

  /// The name asked for, as sent. Empty is the server's default export.
  public var name: String
  /// `NBD_INFO_NAME`, where the server gave one.
  public var canonicalName: String?
  /// `NBD_INFO_DESCRIPTION`, where the server gave one.
  public var description: String?
  /// Size in bytes, 0 to 2^63-1.
  public var size: UInt64
  /// What the export can do. Flags that contradict the negotiation (`SEND_DF` without structured replies,
  /// `SEND_FAST_ZERO` without `SEND_WRITE_ZEROES`) have been taken out.
  public var flags: TransmissionFlags
  public var blockSizes: BlockSizes
  /// The metadata contexts that `NBD_OPT_SET_META_CONTEXT` selected; empty where there are none.
  public var contexts: [MetadataContext]
  public var replies: ReplyForm
  public var handshake: Handshake
  /// All of this was said over TLS, and so is what follows.
  public var isEncrypted: Bool

  public init(
    name: String, size: UInt64, flags: TransmissionFlags, blockSizes: BlockSizes = .unadvertised,
    contexts: [MetadataContext] = [], replies: ReplyForm = .simple, handshake: Handshake = .fixedNewstyle,
    isEncrypted: Bool = false, canonicalName: String? = nil, description: String? = nil
  ) {
    self.name = name
    self.canonicalName = canonicalName
    self.description = description
    self.size = size
    self.flags = flags
    self.blockSizes = blockSizes
    self.contexts = contexts
    self.replies = replies
    self.handshake = handshake
    self.isEncrypted = isEncrypted
  }

  /// Writes are refused: the server says so.
  public var isReadOnly: Bool { flags.contains(.readOnly) }

  /// The context of that name, where it was selected.
  public func context(named name: String) -> MetadataContext? { contexts.first { $0.isNamed(name) } }
}

/// The size constraints of an export, in bytes (*Size constraints*).
public struct BlockSizes: Hashable, Sendable {
  /// Every offset and length is a multiple of this. A power of two, 1 to ``Limits/minimumBlockSize``.
  public var minimum: UInt32
  /// Requests that are multiples of this are efficient. A power of two, at least 512 and ``minimum``.
  public var preferred: UInt32
  /// Most payload in one request; 0xffffffff where the server has no bound. At least ``preferred``.
  public var maximumPayload: UInt32
  /// The server said so itself (`NBD_INFO_BLOCK_SIZE`).
  public var isAdvertised: Bool

  public init(minimum: UInt32, preferred: UInt32, maximumPayload: UInt32, isAdvertised: Bool = true) {
    self.minimum = minimum
    self.preferred = preferred
    self.maximumPayload = maximumPayload
    self.isAdvertised = isAdvertised
  }

  /// The defaults for a server that was asked and did not answer: it "MUST" answer if it wants others.
  public static let unadvertised = BlockSizes(
    minimum: 1, preferred: 4096, maximumPayload: Limits.payload, isAdvertised: false)

  /// For a server that could not be asked (oldstyle, `NBD_OPT_EXPORT_NAME`): what the specification gives a
  /// client "desiring maximum interoperability". A size that 512 does not divide shows a finer server.
  public static func unasked(exportSize: UInt64) -> BlockSizes {
    BlockSizes(
      minimum: exportSize % 512 == 0 ? 512 : 1, preferred: 4096, maximumPayload: Limits.payload,
      isAdvertised: false)
  }
}

/// A metadata context, selected for this connection (*Metadata querying*).
public struct MetadataContext: Hashable, Sendable {
  /// The server's number for it. Opaque, and good on this connection only.
  public var id: UInt32
  /// Namespace, colon, leaf.
  public var name: String

  public init(id: UInt32, name: String) {
    self.id = id
    self.name = name
  }

  /// Names are bytes. Swift's `==` of strings finds equal what only looks alike.
  func isNamed(_ name: String) -> Bool { self.name.utf8.elementsEqual(name.utf8) }

  /// The name of the one context that the specification itself defines.
  public static let baseAllocation = "base:allocation"
}
