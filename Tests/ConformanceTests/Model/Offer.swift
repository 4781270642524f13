/// What a model server is, beside how it behaves.
struct Offer: Sendable {
  enum TLS { case none, selective, forced }

  var size: UInt64 = 3 << 20 | 3 * 512
  var handshakeFlags: UInt16 = 3
  /// HAS_FLAGS, flush, FUA, trim, zeroes, multi-conn, cache, fast zero.
  var flags: UInt16 = 0b1101_0110_1101
  var blocks: [UInt32]? = [1, 4096, 1 << 25]
  var hasStructured = true
  var hasExtended = true
  var contexts = ["base:allocation", "x-model:all"]
  var exports = ["disk", "other"]
  var isOldstyle = false
  var tls = TLS.none
  /// The checks run inside TLS.
  var isAskedForTLS = false
  /// Wants to be asked for block sizes.
  var insistsOnBlocks = false
  /// Reads of these 512 bytes fail.
  var badSector: UInt64?
  var tcpPort: UInt16?
  /// Other clients wait until the one that is there has gone.
  var servesOneAtATime = false
  /// Each connection has a server and a disk of its own, and ends the one before.
  var isCommand = false
  /// Microseconds before anything that is said, as over a distance.
  var delay: UInt32 = 0
  /// Checks that are run against it; all where nil.
  var only: [String]?
}

extension Offer {
  static let all: [String: Offer] = [
    "full": full, "plain": plain, "read-only": readOnly, "blocks": blocks, "oldstyle": oldstyle, "forced TLS": forcedTLS,
    "selective TLS": selectiveTLS, "inside TLS": insideTLS, "inside selective TLS": insideSelectiveTLS,
    "insisting": insisting, "TCP": tcp, "resizing": resizing, "huge": huge, "bad sector": badSector,
    "one at a time": oneAtATime, "command": command, "largest": largest,
  ]

  static let full = Offer()

  /// No more than what every server has.
  static let plain = Offer(
    size: 64 << 20, handshakeFlags: 1, flags: 1, blocks: nil, hasStructured: false, hasExtended: false, contexts: [],
    exports: ["disk"])

  static let readOnly = Offer(flags: 0b1101_0110_1111, hasExtended: false)

  /// Blocks of 4096 bytes, at most 1 MiB at once, and no FAST_ZERO.
  static let blocks = Offer(size: 4 << 20, flags: 0b0101_0110_1101, blocks: [4096, 4096, 1 << 20])

  static let oldstyle = Offer(hasStructured: false, hasExtended: false, contexts: [], isOldstyle: true)

  static let forcedTLS = Offer(tls: .forced)

  static let selectiveTLS = Offer(exports: ["disk", "secret"], tls: .selective)

  static let insideTLS = Offer(tls: .forced, isAskedForTLS: true)

  static let insideSelectiveTLS = Offer(exports: ["disk", "secret"], tls: .selective, isAskedForTLS: true)

  /// Its maximum is why it insists.
  static let insisting = Offer(blocks: [1, 4096, 1 << 20], insistsOnBlocks: true)

  static let oneAtATime = Offer(servesOneAtATime: true)

  static let command = Offer(isCommand: true)

  /// No number of 64 bits is beyond its end.
  static let largest = Offer(size: .max)

  static let tcp = Offer(tcpPort: 10809, only: ["HS-012", "HS-015"])

  static let resizing = Offer(flags: 0b1111_0110_1101, only: ["TX-075"])

  static let huge = Offer(size: 8 << 30, only: ["EH-015", "MC-037"])

  /// Only in structured reads of the last MiB.
  static let badSector = Offer(
    hasExtended: false, badSector: 3 << 20, only: ["SR-022", "SR-024", "SR-025", "SR-026", "SR-031"])
}
