/// Every bound that this library puts on what a peer may make it hold or do, in one place.
///
/// The protocol itself bounds few things. Without bounds of our own, a hostile or broken server could
/// make the client wait for ever or fill its memory.
public enum Limits {
  /// Longest string in bytes: export names, queries, messages (*Conventions*: "no larger than 4096").
  public static let string = 4096
  /// Longest option reply payload in bytes. The largest legal one is `NBD_REP_SERVER` with a name and a
  /// description of ``string`` bytes each; error texts have no bound in the specification.
  public static let optionReply = 64 * 1024
  /// Most replies to one option. `NBD_OPT_LIST` is one reply for each export.
  public static let repliesToOneOption = 10_000
  /// Most bytes of payload in all replies to one option. 10,000 names of ordinary length take far less; the
  /// bound keeps an endless list out of memory.
  public static let repliesToOneOptionBytes = 16 << 20
  /// Seconds for the whole negotiation, from the connected socket to the transmission phase.
  public static let negotiationSeconds = 30
  /// Seconds for connecting, and for negotiating, each connection after the first: one more is worth having, and not worth
  /// waiting for.
  public static let anotherConnectionSeconds = 5
  /// Seconds for connecting again, in each attempt: a new one asks again sooner than the kernel would.
  public static let reconnectSeconds = 2
  /// Seconds for negotiating again, in each attempt.
  public static let renegotiationSeconds = 10
  /// Milliseconds without a sign of life after which a TCP peer that owes an acknowledgement is taken for gone.
  public static let peerSilence = 30_000
  /// Metadata contexts that a server may select for an export; no more are asked for.
  public static let metadataContexts = 64
  /// Payload in bytes of one request where the server advertised no maximum, and this client's own
  /// maximum where it did (*Size constraints*: 2^25 is never "a denial of service attack").
  public static let payload: UInt32 = 1 << 25
  /// Largest minimum block size in bytes (*Size constraints*).
  public static let minimumBlockSize: UInt32 = 1 << 16
  /// Extents in one block status chunk (*Structured reply types*: "not ... more than 2^20").
  public static let extentsInChunk = 1 << 20
  /// Extents that a connection holds for replies it has not received whole, 24 bytes each. What comes beyond is dropped, but
  /// for the first of each context: a block status reply may always end early.
  public static let extentsHeld = 1 << 18
  /// Disjoint pieces that one read's content chunks may form before they join up. A server that answers
  /// in order forms one; this bounds the book-keeping for one that answers at random.
  public static let readFragments = 4096
  /// Error chunks in one structured reply; the specification expects one.
  public static let errorChunks = 64
  /// Longest error chunk in bytes: a message, and room for fields of error types that this library does not know.
  public static let errorChunk = string + 256
  /// Most addresses of one host name that are tried.
  public static let addressesOfOneName = 64
  /// Largest export in bytes: offsets of files are signed, so 2^63-1.
  public static let exportSize = UInt64(Int64.max)
}
