/// The checks on what a server answers in the option haggling (*Fixed newstyle negotiation*, *Option reply types*). The layouts
/// are in Wire.

extension OptionReplyHeader {
  /// - Throws: a violation for another magic or another option than the one in progress, and for a length that
  ///   is refused before anything is allocated for it.
  func check(answering expected: OptionType) throws(NBDError) {
    guard magic == Magic.optionReply else {
      throw .brokenReply(to: expected, expected: "the magic \(hex(Magic.optionReply))", found: hex(magic))
    }
    guard option == expected else {
      throw .brokenReply(to: expected, expected: "that option", found: "an answer to \(option)")
    }
    guard payloadSize <= Limits.optionReply else {
      throw .brokenReply(
        to: expected, expected: "\(type) of at most \(Limits.optionReply) bytes", found: "one of \(length)")
    }
  }

  /// Bytes of data that follow, as a size in memory.
  var payloadSize: Int { Int(clamping: length) }
}

/// An export in the answer to `NBD_OPT_LIST`.
public struct ExportListing: Hashable, Sendable {
  /// As `NBD_OPT_GO` wants it. Any character but NUL: escape it before it reaches a terminal.
  public var name: String
  /// For people; nil where the server gave none. Escape it before it reaches a terminal.
  public var description: String?

  public init(name: String, description: String? = nil) {
    self.name = name
    self.description = description
  }

  /// Nil for a name that no client may send back: too long, with a NUL, or not UTF-8.
  init?(_ reply: ServerReply) {
    guard let name = ServerWords.string(reply.name) else { return nil }
    self.name = name
    description = reply.description.isEmpty ? nil : ServerWords.text(reply.description)
  }
}

extension MetadataContext {
  /// - Throws: a violation for a name that is no string.
  init(_ reply: MetaContextReply, answering option: OptionType) throws(NBDError) {
    guard let name = ServerWords.string(reply.name) else {
      throw .brokenReply(
        to: option, expected: "a context name of UTF-8, at most \(Limits.string) bytes, without NUL",
        found: "\"\(printable(ServerWords.text(reply.name)))\"")
    }
    self.init(id: reply.id, name: name)
  }
}

/// A server's strings (*Conventions*).
enum ServerWords {
  /// A string that means something, or nil where it breaks the rules.
  static func string(_ bytes: [UInt8]) -> String? {
    guard bytes.count <= Limits.string, !bytes.contains(0) else { return nil }
    return String(validating: bytes, as: UTF8.self)
  }

  /// Words for a person: cut to what is allowed, and repaired where they are not UTF-8.
  static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix(Limits.string), as: UTF8.self) }
}

extension NBDError {
  static func broken(_ what: String, expected: String, found: String) -> NBDError {
    .violation(ProtocolViolation("\(what): expected \(expected), found \(found)"))
  }

  static func brokenReply(to option: OptionType, expected: String, found: String) -> NBDError {
    broken("reply to \(option)", expected: expected, found: found)
  }

  /// An error reply, with the server's words made printable, or where it had none, what the code means.
  static func refusal(of option: OptionType, with reply: OptionReplyType, text: String) -> NBDError {
    let meaning =
      switch reply {
      case .tlsRequired: "it wants TLS first"
      case .unknownExport: "it has no such export"
      case .shutdown: "it is shutting down"
      case .extendedHeadersRequired: "it wants extended headers"
      default: ""
      }
    return .refused(option: option, reply: reply, message: text.isEmpty ? meaning : printable(text))
  }
}
