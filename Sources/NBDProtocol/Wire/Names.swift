/// The specification's names for numbers, for messages and traces.

func hex<T: UnsignedInteger>(_ value: T) -> String { "0x" + String(value, radix: 16) }

extension OptionType: CustomStringConvertible {
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

extension OptionReplyType: CustomStringConvertible {
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

extension Command: CustomStringConvertible {
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

extension ChunkType: CustomStringConvertible {
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

extension NBDErrorCode: CustomStringConvertible {
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
