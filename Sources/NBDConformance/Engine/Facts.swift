import NBDProtocol

/// What the survey learned about the server: enough to know which checks apply, and what a good request is.
struct Facts {
  enum TLS { case none, selective, forced }

  /// Such as `qemu-nbd`, where the export is asked for by this name.
  var exportName: [UInt8] = []
  var isOldstyle = false
  var handshakeFlags: UInt16 = 0
  /// Bytes of the export.
  var size: UInt64 = 0
  /// Transmission flags by the kind of replies agreed; nil where that cannot be.
  var flags: [ReplyForm: UInt16] = [:]
  /// The three sizes, where the server says them.
  var blocks: (minimum: UInt32, preferred: UInt32, maximum: UInt32)?
  /// `NBD_OPT_GO` works.
  var hasGo = false
  /// What `NBD_OPT_LIST` says; nil where it is refused.
  var servers: [ServerReply]?
  /// Names of contexts in `NBD_OPT_LIST_META_CONTEXT`; nil where the option is not supported.
  var contexts: [String]?
  /// The export's name may be any.
  var acceptsAnyName = false
  /// What the server says of TLS in the clear.
  var tls = TLS.none
  /// It gives the export inside TLS only.
  var needsTLS = false
  /// The conversations are inside TLS, but for those about what comes before it.
  var usesTLS = false
  /// Why there is no way into the transmission phase.
  var obstacle: String?
  /// `NBD_OPT_EXPORT_NAME` is refused, as a client cannot learn of block sizes there.
  var refusesExportName = false
  /// A second client is greeted while a first is there.
  var greetsCompanions = false
  /// The export may be written to, as its owner has said: no finding, but what checks have to know.
  var isScratch = false

  /// The least block in bytes; no more than the specification allows, whatever the server says.
  var minimum: UInt64 { UInt64(min(65536, max(1, blocks?.minimum ?? 1))) }
  /// A length that suits any server.
  var unit: UInt64 { max(512, minimum) }
  /// Bytes of payload that a request may have.
  var maximum: UInt64 { UInt64(blocks?.maximum ?? 1 << 25) }
  /// Flags of the simplest way in.
  var simpleFlags: UInt16 { flags[.simple] ?? flags[.structured] ?? flags[.extended] ?? 0 }
  var isReadOnly: Bool { simpleFlags & TransmissionFlags.readOnly.rawValue != 0 }
  var hasAllocation: Bool { contexts?.contains("base:allocation") ?? false }

  func has(_ flag: TransmissionFlags) -> Bool { simpleFlags & flag.rawValue != 0 }

  /// Where the last whole block ends.
  var end: UInt64 { size / minimum * minimum }
  /// The last unit's offset; 0 where the export is smaller.
  var lastUnit: UInt64 { end >= unit ? end - unit : 0 }
  /// Ranges that reach beyond the end: across it, at it, far away, and where their sum overflows.
  var outside: [(offset: UInt64, length: UInt64)] {
    [(lastUnit, 4 * unit), (end, 2 * unit), (1 << 63, unit), (0 &- unit, 2 * unit)].filter { size < 1 << 62 || $0.0 != 1 << 63 }
  }
}
