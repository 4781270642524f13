/// The numbers that stand for something, each with the specification's name for it: the one table for messages and traces.
///
/// What the peer supplies is an open struct and no enum, so that a value which this library does not know survives, prints, and
/// never traps.

/// An option of the newstyle negotiation (*Option types*).
public struct OptionType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `NBD_OPT_EXPORT_NAME`
  public static let exportName = Self(rawValue: 1)
  /// `NBD_OPT_ABORT`
  public static let abort = Self(rawValue: 2)
  /// `NBD_OPT_LIST`
  public static let list = Self(rawValue: 3)
  /// `NBD_OPT_STARTTLS`
  public static let startTLS = Self(rawValue: 5)
  /// `NBD_OPT_INFO`
  public static let info = Self(rawValue: 6)
  /// `NBD_OPT_GO`
  public static let go = Self(rawValue: 7)
  /// `NBD_OPT_STRUCTURED_REPLY`
  public static let structuredReply = Self(rawValue: 8)
  /// `NBD_OPT_LIST_META_CONTEXT`
  public static let listMetaContext = Self(rawValue: 9)
  /// `NBD_OPT_SET_META_CONTEXT`
  public static let setMetaContext = Self(rawValue: 10)
  /// `NBD_OPT_EXTENDED_HEADERS`
  public static let extendedHeaders = Self(rawValue: 11)

  public var description: String {
    switch self {
    case .exportName: "NBD_OPT_EXPORT_NAME"
    case .abort: "NBD_OPT_ABORT"
    case .list: "NBD_OPT_LIST"
    case .startTLS: "NBD_OPT_STARTTLS"
    case .info: "NBD_OPT_INFO"
    case .go: "NBD_OPT_GO"
    case .structuredReply: "NBD_OPT_STRUCTURED_REPLY"
    case .listMetaContext: "NBD_OPT_LIST_META_CONTEXT"
    case .setMetaContext: "NBD_OPT_SET_META_CONTEXT"
    case .extendedHeaders: "NBD_OPT_EXTENDED_HEADERS"
    default: "option \(rawValue)"
    }
  }
}

/// The type of an option reply (*Option reply types*).
public struct OptionReplyType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 31 marks every error reply, also those that this library does not know.
  public var isError: Bool { rawValue & (1 << 31) != 0 }

  /// `NBD_REP_ACK`
  public static let ack = Self(rawValue: 1)
  /// `NBD_REP_SERVER`
  public static let server = Self(rawValue: 2)
  /// `NBD_REP_INFO`
  public static let info = Self(rawValue: 3)
  /// `NBD_REP_META_CONTEXT`
  public static let metaContext = Self(rawValue: 4)

  /// `NBD_REP_ERR_UNSUP`: the server does not know the option.
  public static let unsupported = Self(rawValue: 1 << 31 | 1)
  /// `NBD_REP_ERR_POLICY`
  public static let policy = Self(rawValue: 1 << 31 | 2)
  /// `NBD_REP_ERR_INVALID`
  public static let invalid = Self(rawValue: 1 << 31 | 3)
  /// `NBD_REP_ERR_PLATFORM`
  public static let platform = Self(rawValue: 1 << 31 | 4)
  /// `NBD_REP_ERR_TLS_REQD`
  public static let tlsRequired = Self(rawValue: 1 << 31 | 5)
  /// `NBD_REP_ERR_UNKNOWN`: there is no such export.
  public static let unknownExport = Self(rawValue: 1 << 31 | 6)
  /// `NBD_REP_ERR_SHUTDOWN`
  public static let shutdown = Self(rawValue: 1 << 31 | 7)
  /// `NBD_REP_ERR_BLOCK_SIZE_REQD`
  public static let blockSizeRequired = Self(rawValue: 1 << 31 | 8)
  /// `NBD_REP_ERR_TOO_BIG`
  public static let tooBig = Self(rawValue: 1 << 31 | 9)
  /// `NBD_REP_ERR_EXT_HEADER_REQD`
  public static let extendedHeadersRequired = Self(rawValue: 1 << 31 | 10)

  public var description: String {
    switch self {
    case .ack: "NBD_REP_ACK"
    case .server: "NBD_REP_SERVER"
    case .info: "NBD_REP_INFO"
    case .metaContext: "NBD_REP_META_CONTEXT"
    case .unsupported: "NBD_REP_ERR_UNSUP"
    case .policy: "NBD_REP_ERR_POLICY"
    case .invalid: "NBD_REP_ERR_INVALID"
    case .platform: "NBD_REP_ERR_PLATFORM"
    case .tlsRequired: "NBD_REP_ERR_TLS_REQD"
    case .unknownExport: "NBD_REP_ERR_UNKNOWN"
    case .shutdown: "NBD_REP_ERR_SHUTDOWN"
    case .blockSizeRequired: "NBD_REP_ERR_BLOCK_SIZE_REQD"
    case .tooBig: "NBD_REP_ERR_TOO_BIG"
    case .extendedHeadersRequired: "NBD_REP_ERR_EXT_HEADER_REQD"
    default: "option reply \(hex(rawValue))"
    }
  }
}

/// An item of `NBD_REP_INFO` (*Option reply types*).
public struct InfoType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `NBD_INFO_EXPORT`: size and transmission flags.
  public static let export = Self(rawValue: 0)
  /// `NBD_INFO_NAME`: the canonical name.
  public static let name = Self(rawValue: 1)
  /// `NBD_INFO_DESCRIPTION`
  public static let description = Self(rawValue: 2)
  /// `NBD_INFO_BLOCK_SIZE`
  public static let blockSize = Self(rawValue: 3)

  public var description: String {
    switch self {
    case .export: "NBD_INFO_EXPORT"
    case .name: "NBD_INFO_NAME"
    case .description: "NBD_INFO_DESCRIPTION"
    case .blockSize: "NBD_INFO_BLOCK_SIZE"
    default: "information \(rawValue)"
    }
  }
}

/// A command of the transmission phase (*Request types*). Numbers come from this side only.
public enum Command: UInt16, Hashable, Sendable, CaseIterable, CustomStringConvertible {
  /// `NBD_CMD_READ`
  case read = 0
  /// `NBD_CMD_WRITE`
  case write = 1
  /// `NBD_CMD_DISC`: the soft disconnect. It has no reply.
  case disconnect = 2
  /// `NBD_CMD_FLUSH`
  case flush = 3
  /// `NBD_CMD_TRIM`
  case trim = 4
  /// `NBD_CMD_CACHE`
  case cache = 5
  /// `NBD_CMD_WRITE_ZEROES`
  case writeZeroes = 6
  /// `NBD_CMD_BLOCK_STATUS`
  case blockStatus = 7

  /// Changes what the export holds, and so is refused on a read-only one.
  public var mutates: Bool {
    switch self {
    case .write, .trim, .writeZeroes: true
    case .read, .disconnect, .flush, .cache, .blockStatus: false
    }
  }

  public var description: String {
    switch self {
    case .read: "NBD_CMD_READ"
    case .write: "NBD_CMD_WRITE"
    case .disconnect: "NBD_CMD_DISC"
    case .flush: "NBD_CMD_FLUSH"
    case .trim: "NBD_CMD_TRIM"
    case .cache: "NBD_CMD_CACHE"
    case .writeZeroes: "NBD_CMD_WRITE_ZEROES"
    case .blockStatus: "NBD_CMD_BLOCK_STATUS"
    }
  }
}

/// The type of a structured or extended reply chunk (*Structured reply types*).
public struct ChunkType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Bit 15 marks every error chunk, also those that this library does not know.
  public var isError: Bool { rawValue & (1 << 15) != 0 }

  /// `NBD_REPLY_TYPE_NONE`
  public static let none = Self(rawValue: 0)
  /// `NBD_REPLY_TYPE_OFFSET_DATA`
  public static let offsetData = Self(rawValue: 1)
  /// `NBD_REPLY_TYPE_OFFSET_HOLE`
  public static let offsetHole = Self(rawValue: 2)
  /// `NBD_REPLY_TYPE_BLOCK_STATUS`: 32-bit extents.
  public static let blockStatus = Self(rawValue: 5)
  /// `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`: 64-bit extents.
  public static let blockStatusExtended = Self(rawValue: 6)
  /// `NBD_REPLY_TYPE_ERROR`
  public static let error = Self(rawValue: 1 << 15 | 1)
  /// `NBD_REPLY_TYPE_ERROR_OFFSET`
  public static let errorOffset = Self(rawValue: 1 << 15 | 2)

  public var description: String {
    switch self {
    case .none: "NBD_REPLY_TYPE_NONE"
    case .offsetData: "NBD_REPLY_TYPE_OFFSET_DATA"
    case .offsetHole: "NBD_REPLY_TYPE_OFFSET_HOLE"
    case .blockStatus: "NBD_REPLY_TYPE_BLOCK_STATUS"
    case .blockStatusExtended: "NBD_REPLY_TYPE_BLOCK_STATUS_EXT"
    case .error: "NBD_REPLY_TYPE_ERROR"
    case .errorOffset: "NBD_REPLY_TYPE_ERROR_OFFSET"
    default: "reply type \(hex(rawValue))"
    }
  }
}

/// An error value in a reply (*Error values*). The numbers are the protocol's own, not this system's.
public struct NBDErrorCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// `NBD_EPERM`
  public static let notPermitted = Self(rawValue: 1)
  /// `NBD_EIO`
  public static let ioError = Self(rawValue: 5)
  /// `NBD_ENOMEM`
  public static let noMemory = Self(rawValue: 12)
  /// `NBD_EINVAL`
  public static let invalidArgument = Self(rawValue: 22)
  /// `NBD_ENOSPC`
  public static let noSpace = Self(rawValue: 28)
  /// `NBD_EOVERFLOW`
  public static let overflow = Self(rawValue: 75)
  /// `NBD_ENOTSUP`
  public static let notSupported = Self(rawValue: 95)
  /// `NBD_ESHUTDOWN`: the server is going away; the client has to disconnect softly.
  public static let shutdown = Self(rawValue: 108)

  public var description: String {
    switch self {
    case .notPermitted: "NBD_EPERM"
    case .ioError: "NBD_EIO"
    case .noMemory: "NBD_ENOMEM"
    case .invalidArgument: "NBD_EINVAL"
    case .noSpace: "NBD_ENOSPC"
    case .overflow: "NBD_EOVERFLOW"
    case .notSupported: "NBD_ENOTSUP"
    case .shutdown: "NBD_ESHUTDOWN"
    default: "error \(rawValue)"
    }
  }
}
