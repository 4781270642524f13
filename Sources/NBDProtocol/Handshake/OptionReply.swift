/// The server's side of option haggling: decoding what it answers (*Fixed newstyle negotiation*, *Option reply
/// types*).

/// The header of an option reply.
struct OptionReplyHeader: Hashable, Sendable {
  var type: OptionReplyType
  /// Bytes of payload, at most ``Limits/optionReply``.
  var length: Int

  static let size = 20

  /// Decodes `bytes`, which must hold ``size`` of them.
  ///
  /// - Throws: a violation for another magic or another option than the one in progress, and for a length that
  ///   is refused before anything is allocated for it.
  init(_ bytes: RawSpan, answering option: OptionType) throws(NBDError) {
    let magic: UInt64 = bytes.loadBigEndian(0)
    guard magic == Magic.optionReply else {
      throw .brokenReply(to: option, expected: "the magic \(hex(Magic.optionReply))", found: hex(magic))
    }
    let answered = OptionType(rawValue: bytes.loadBigEndian(8))
    guard answered == option else {
      throw .brokenReply(to: option, expected: "that option", found: "an answer to \(answered)")
    }
    type = OptionReplyType(rawValue: bytes.loadBigEndian(12))
    let length: UInt32 = bytes.loadBigEndian(16)
    guard let size = Int(exactly: length), size <= Limits.optionReply else {
      throw .brokenReply(
        to: option, expected: "\(type) of at most \(Limits.optionReply) bytes", found: "one of \(length)")
    }
    self.length = size
  }
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
}

/// The payloads of the replies. Each takes the whole payload of one reply.
enum OptionReply {
  /// `NBD_REP_SERVER`. Nil for a name that no client may send back: too long, with a NUL, or not UTF-8.
  static func server(_ payload: RawSpan) throws(NBDError) -> ExportListing? {
    guard payload.byteCount >= 4 else {
      throw .brokenReply(to: .list, expected: "NBD_REP_SERVER of at least 4 bytes", found: "\(payload.byteCount)")
    }
    let length: UInt32 = payload.loadBigEndian(0)
    guard let size = Int(exactly: length), size <= payload.byteCount - 4 else {
      throw .brokenReply(
        to: .list, expected: "a name of at most \(payload.byteCount - 4) bytes", found: "a length of \(length)")
    }
    guard let name = string(payload.extracting(4..<4 + size)) else { return nil }
    let description = text(payload.extracting((4 + size)...))
    return ExportListing(name: name, description: description.isEmpty ? nil : description)
  }

  /// `NBD_REP_META_CONTEXT`.
  static func metaContext(_ payload: RawSpan, answering option: OptionType) throws(NBDError) -> MetadataContext {
    guard payload.byteCount >= 4 else {
      throw .brokenReply(
        to: option, expected: "NBD_REP_META_CONTEXT of at least 4 bytes", found: "\(payload.byteCount)")
    }
    guard let name = string(payload.extracting(4...)) else {
      throw .brokenReply(
        to: option, expected: "a context name of UTF-8, at most \(Limits.string) bytes, without NUL",
        found: "\"\(printable(text(payload.extracting(4...))))\"")
    }
    return MetadataContext(id: payload.loadBigEndian(0), name: name)
  }

  /// A string that means something, or nil where it breaks the rules of *Conventions*.
  static func string(_ bytes: RawSpan) -> String? {
    guard bytes.byteCount <= Limits.string else { return nil }
    let copy = bytes.copyBytes()
    return copy.contains(0) ? nil : String(validating: copy, as: UTF8.self)
  }

  /// Words for a person: cut to what *Conventions* allows, and repaired where they are not UTF-8.
  static func text(_ bytes: RawSpan) -> String {
    String(decoding: bytes.extracting(first: Limits.string).copyBytes(), as: UTF8.self)
  }
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
