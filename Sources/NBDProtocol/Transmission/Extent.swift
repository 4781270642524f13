/// A run of bytes that share a status (*Structured reply types*, `NBD_REPLY_TYPE_BLOCK_STATUS`).
public struct Extent: Hashable, Sendable {
  /// Bytes from the start of the export.
  public var offset: UInt64
  /// Bytes; never zero.
  public var length: UInt64
  /// What it means is up to the context; ``AllocationFlags`` for `base:allocation`.
  public var status: UInt64

  public init(offset: UInt64, length: UInt64, status: UInt64) {
    self.offset = offset
    self.length = length
    self.status = status
  }

  /// Where the extent ends, in bytes from the start of the export.
  public var end: UInt64 { offset + length }
}

/// The answer to one block status command, for every context that was negotiated.
struct StatusReply {
  /// The extents of each context, by its place in ``Export/contexts``. Nil until its chunk has begun.
  var extents: [[Extent]?]
  /// Where the next extent of the chunk that is being received begins.
  var cursor: UInt64

  /// Extents of all contexts.
  var count: Int { extents.reduce(0) { $0 + ($1?.count ?? 0) } }

  init(contexts: Int, offset: UInt64) {
    extents = Array(repeating: nil, count: contexts)
    cursor = offset
  }
}
