/// What the kernel may keep in its page cache (`--cache`).
enum CacheMode: String, CaseIterable, Sendable {
  /// Like a disk: written data is durable after fsync.
  case writeback
  /// Reads are cached, every write goes to the server at once.
  case writethrough
  /// Direct I/O both ways.
  case none
}
