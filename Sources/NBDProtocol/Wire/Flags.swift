/// Flag words of the protocol. Each keeps unknown bits, because a client ignores what it does not know.

/// Handshake flags: 16 bits, sent by the server in its greeting (*Handshake flags*).
public struct HandshakeFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `NBD_FLAG_FIXED_NEWSTYLE`: the server answers options it does not know instead of hanging up.
  public static let fixedNewstyle = Self(rawValue: 1 << 0)
  /// `NBD_FLAG_NO_ZEROES`: the server can leave out the 124 zero bytes after `NBD_OPT_EXPORT_NAME`.
  public static let noZeroes = Self(rawValue: 1 << 1)
}

/// Client flags: 32 bits, the client's answer to the greeting (*Client flags*).
public struct ClientFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `NBD_FLAG_C_FIXED_NEWSTYLE`. Only sent when the server offered ``HandshakeFlags/fixedNewstyle``.
  public static let fixedNewstyle = Self(rawValue: 1 << 0)
  /// `NBD_FLAG_C_NO_ZEROES`. Only sent when the server offered ``HandshakeFlags/noZeroes``.
  public static let noZeroes = Self(rawValue: 1 << 1)
}

/// Transmission flags: 16 bits, what an export can do (*Transmission flags*).
public struct TransmissionFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `NBD_FLAG_HAS_FLAGS`: always set by a conforming server.
  public static let hasFlags = Self(rawValue: 1 << 0)
  /// `NBD_FLAG_READ_ONLY`: every write fails.
  public static let readOnly = Self(rawValue: 1 << 1)
  /// `NBD_FLAG_SEND_FLUSH`: ``Command/flush`` is understood.
  public static let sendFlush = Self(rawValue: 1 << 2)
  /// `NBD_FLAG_SEND_FUA`: ``CommandFlags/fua`` is understood.
  public static let sendFUA = Self(rawValue: 1 << 3)
  /// `NBD_FLAG_ROTATIONAL`: a hint that the medium turns.
  public static let rotational = Self(rawValue: 1 << 4)
  /// `NBD_FLAG_SEND_TRIM`: ``Command/trim`` is understood.
  public static let sendTrim = Self(rawValue: 1 << 5)
  /// `NBD_FLAG_SEND_WRITE_ZEROES`: ``Command/writeZeroes`` and ``CommandFlags/noHole`` are understood.
  public static let sendWriteZeroes = Self(rawValue: 1 << 6)
  /// `NBD_FLAG_SEND_DF`: ``CommandFlags/dontFragment`` is understood.
  public static let sendDF = Self(rawValue: 1 << 7)
  /// `NBD_FLAG_CAN_MULTI_CONN`: a flush on one connection covers what was written on all of them.
  public static let canMultiConn = Self(rawValue: 1 << 8)
  /// `NBD_FLAG_SEND_RESIZE`: from the experimental RESIZE extension; never used here.
  public static let sendResize = Self(rawValue: 1 << 9)
  /// `NBD_FLAG_SEND_CACHE`: ``Command/cache`` is understood.
  public static let sendCache = Self(rawValue: 1 << 10)
  /// `NBD_FLAG_SEND_FAST_ZERO`: ``CommandFlags/fastZero`` is understood.
  public static let sendFastZero = Self(rawValue: 1 << 11)
  /// `NBD_FLAG_BLOCK_STATUS_PAYLOAD`: a block status request may name the contexts it wants.
  public static let blockStatusPayload = Self(rawValue: 1 << 12)
}

/// Command flags: 16 bits, sent with every request (*Command flags*).
public struct CommandFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `NBD_CMD_FLAG_FUA`: reply only when the data is on stable storage.
  public static let fua = Self(rawValue: 1 << 0)
  /// `NBD_CMD_FLAG_NO_HOLE`: zero without making a hole.
  public static let noHole = Self(rawValue: 1 << 1)
  /// `NBD_CMD_FLAG_DF`: answer a read with one content chunk.
  public static let dontFragment = Self(rawValue: 1 << 2)
  /// `NBD_CMD_FLAG_REQ_ONE`: one extent for each metadata context.
  public static let requestOne = Self(rawValue: 1 << 3)
  /// `NBD_CMD_FLAG_FAST_ZERO`: fail with ``NBDErrorCode/notSupported`` rather than zero slowly.
  public static let fastZero = Self(rawValue: 1 << 4)
  /// `NBD_CMD_FLAG_PAYLOAD_LEN`: with extended headers, the length counts payload that follows the header.
  public static let payloadLength = Self(rawValue: 1 << 5)
}

/// Reply flags: 16 bits, in every structured or extended reply (*Structured and extended header reply flags*).
public struct ReplyFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `NBD_REPLY_FLAG_DONE`: the last chunk of this reply.
  public static let done = Self(rawValue: 1 << 0)
}

/// Status bits of the `base:allocation` metadata context (*`base:allocation` metadata context*).
public struct AllocationFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// `NBD_STATE_HOLE`: no space is allocated. Says nothing about what a read returns.
  public static let hole = Self(rawValue: 1 << 0)
  /// `NBD_STATE_ZERO`: reads as zeros.
  public static let zero = Self(rawValue: 1 << 1)
}
