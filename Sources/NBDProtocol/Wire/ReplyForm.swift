/// Which replies a server sends, and with ``extended``, which requests a client does.
public enum ReplyForm: Hashable, Sendable, Comparable {
  /// 16-byte headers; a read is all or nothing.
  case simple
  /// 20-byte chunk headers for reads and block status (`NBD_OPT_STRUCTURED_REPLY`).
  case structured
  /// 32-byte headers both ways, 64-bit lengths (`NBD_OPT_EXTENDED_HEADERS`).
  case extended
}
