import NBDProtocol

/// An option reply, as it came.
struct OptionReply: Hashable {
  let type: OptionReplyType
  let data: [UInt8]
}

/// All that the server said to one option.
struct OptionAnswer {
  let option: OptionType
  var replies: [OptionReply] = []

  /// The reply that ended it.
  var final: OptionReplyType { replies.last?.type ?? OptionReplyType(rawValue: 0) }
  var isAcknowledged: Bool { final == .ack }
  /// The words of an error.
  var text: String { final.isError ? String(decoding: replies.last?.data ?? [], as: UTF8.self) : "" }

  /// The data of replies of that type.
  func data(_ type: OptionReplyType) -> [[UInt8]] { replies.filter { $0.type == type }.map(\.data) }

  var items: [InfoItem] { data(.info).compactMap { InfoItem($0.span.bytes) } }
  var itemTypes: [InfoType] { data(.info).compactMap { InfoType($0.span.bytes) } }
  var servers: [ServerReply] { data(.server).compactMap { ServerReply($0.span.bytes) } }
  var contexts: [MetaContextReply] { data(.metaContext).compactMap { MetaContextReply($0.span.bytes) } }
  var contextNames: [String] { contexts.map { String(decoding: $0.name, as: UTF8.self) } }

  var export: (size: UInt64, flags: UInt16)? {
    for case .export(let size, let flags) in items { return (size, flags.rawValue) }
    return nil
  }
  var blocks: (minimum: UInt32, preferred: UInt32, maximum: UInt32)? {
    for case .blockSize(let minimum, let preferred, let maximum) in items { return (minimum, preferred, maximum) }
    return nil
  }

  /// For messages: the types of the replies.
  var summary: String {
    let names = replies.prefix(6).map { "\($0.type)" }.joined(separator: ", ")
    return names + (replies.count > 6 ? ", ... (\(replies.count) replies)" : "")
  }
}

/// The option haggling.
extension Session {
  /// Replies to one option that are read.
  private static let mostReplies = 20_000
  /// Bytes of one reply's data that are read.
  private static let mostData: UInt32 = 1 << 20

  /// An option's bytes: header and data. `length` is what the header says, where that is to be something else.
  static func encoded(_ option: OptionType, _ data: [UInt8], length: UInt32? = nil, magic: UInt64 = Magic.option) -> [UInt8] {
    OptionHeader(option, length: length ?? UInt32(data.count), magic: magic).encoded + data
  }

  /// Sends an option.
  func sendOption(_ option: OptionType, _ data: [UInt8] = [], length: UInt32? = nil, magic: UInt64 = Magic.option) throws {
    try send(
      Self.encoded(option, data, length: length, magic: magic), "\(option)",
      [
        Field("magic", bytes(magic), magic == Magic.option ? "IHAVEOPT" : "no magic of the protocol"),
        Field("option", bytes(option.rawValue), "\(option)"),
        Field("length", bytes(length ?? UInt32(data.count)), "bytes of data"),
      ] + (data.isEmpty ? [] : [Field("data", data)]))
  }

  /// Sends an option and reads the answer.
  func option(_ option: OptionType, _ data: [UInt8] = []) throws -> OptionAnswer {
    try sendOption(option, data)
    return try optionAnswer(option)
  }

  /// Reads replies up to the one that ends the answer to `option`.
  func optionAnswer(_ option: OptionType) throws -> OptionAnswer {
    var answer = OptionAnswer(option: option)
    var total = 0
    while answer.replies.count < Self.mostReplies {
      let reply = try optionReply(option)
      answer.replies.append(reply)
      total += reply.data.count
      if reply.type == .ack || reply.type.isError {
        note(answer)
        return answer
      }
      guard total < 64 << 20 else { break }
    }
    throw Finding(
      kind: .broken, expected: "a final reply to \(option)", found: "\(answer.replies.count) replies, \(total) bytes, and no end")
  }

  private func optionReply(_ option: OptionType) throws -> OptionReply {
    let head = try receive(OptionReplyHeader.size, "a reply to \(option)")
    guard let header = OptionReplyHeader(head.span.bytes) else { preconditionFailure("20 bytes are a header") }
    let hasMagic = header.magic == Magic.optionReply
    let fields = [
      Field("magic", bytes(header.magic), hasMagic ? "an option reply" : "not the magic of an option reply"),
      Field("option", bytes(header.option.rawValue), "\(header.option)"),
      Field("reply type", bytes(header.type.rawValue), "\(header.type)"), Field("length", bytes(header.length), "bytes of data"),
    ]
    // Something of it must be right to be taken for a reply at all.
    guard hasMagic || header.option == option, header.length <= Self.mostData else {
      log(.received, "bytes that are no reply to \(option)", fields)
      throw Finding(
        kind: .broken, expected: "a reply to \(option)",
        found: hasMagic ? "a reply of \(header.length) bytes" : "bytes that begin with \(hex(header.magic))")
    }
    let data = try receive(Int(header.length), "the data of \(header.type)")
    log(.received, "\(header.type)", fields + (data.isEmpty ? [] : [Field("data", data, Self.meaning(header.type, data))]))
    book.note("OPT-001", hasMagic, "magic 0x3e889045565a9", hex(header.magic), in: transcript)
    book.note("OPT-002", header.option == option, "a reply to \(option)", "a reply to \(header.option)", in: transcript)
    return OptionReply(type: header.type, data: data)
  }

  private static func meaning(_ type: OptionReplyType, _ data: [UInt8]) -> String {
    if type.isError { return shown(data) }
    switch type {
    case .server: return ServerReply(data.span.bytes).map { "export \(shown($0.name))" } ?? "no layout"
    case .metaContext: return MetaContextReply(data.span.bytes).map { "context \($0.id): \(shown($0.name))" } ?? "no layout"
    case .info:
      switch InfoItem(data.span.bytes) {
      case .export(let size, let flags): return "size \(size), transmission flags \(hex(flags.rawValue))"
      case .blockSize(let minimum, let preferred, let most): return "blocks: \(minimum), \(preferred), at most \(most)"
      case .name(let text), .description(let text): return shown(text)
      default: return InfoType(data.span.bytes).map { "\($0)" } ?? "no layout"
      }
    default: return ""
    }
  }

  /// The rules that every answer keeps.
  private func note(_ answer: OptionAnswer) {
    for reply in answer.replies {
      if reply.type == .ack {
        book.note("OPT-007", reply.data.isEmpty, "no data", "\(reply.data.count) bytes", in: transcript)
      } else if reply.type.isError {
        book.note(
          "OPT-008", Self.isString(reply.data), "a UTF-8 string of at most 4096 bytes, without NUL",
          "\(reply.type) with \(shown(reply.data))", in: transcript)
        noteString(reply.data, "the text of \(reply.type)")
        if isProtected {
          book.note("TLS-013", reply.type != .tlsRequired, "any other error", "\(reply.type) to \(answer.option)", in: transcript)
        } else if isWithoutTLS {
          book.note("TLS-002", reply.type != .tlsRequired, "any other error", "\(reply.type) to \(answer.option)", in: transcript)
        }
        if answer.option != .listMetaContext, answer.option != .setMetaContext {
          book.note(
            "EH-027", reply.type != .extendedHeadersRequired || form == .extended, "any other answer",
            "\(reply.type) to \(answer.option)",
            in: transcript)
        }
      } else if reply.type == .server {
        note(server: reply.data)
      } else if reply.type == .metaContext {
        note(context: reply.data, answer.option)
      } else if reply.type == .info {
        note(information: reply.data)
      }
    }
  }

  private func note(information data: [UInt8]) {
    guard let type = InfoType(data.span.bytes) else { return }
    switch type {
    case .export: book.note("OPT-037", data.count == 12, "12 bytes", "\(data.count) bytes", in: transcript)
    case .blockSize: book.note("OPT-041", data.count == 14, "14 bytes", "\(data.count) bytes", in: transcript)
    case .name, .description:
      noteString(Array(data.dropFirst(2)), "\(type)")
    default: break
    }
  }

  private func note(server data: [UInt8]) {
    let named = ServerReply(data.span.bytes)
    book.note(
      "OPT-020", named != nil, "a name that ends inside the reply", "a reply of \(data.count) bytes: \(Field("data", data).line)",
      in: transcript)
    guard let named else { return }
    book.note(
      "OPT-021", Self.isString(named.description), "a UTF-8 string without NUL", shown(named.description), in: transcript)
    noteString(named.name, "an export's name", isText: true)
  }

  private func note(context data: [UInt8], _ option: OptionType) {
    guard let context = MetaContextReply(data.span.bytes) else {
      return book.note("MC-018", false, "a number and a name", "\(data.count) bytes", in: transcript)
    }
    let parts = context.name.split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
    let isName = parts.count == 2 && !parts[0].isEmpty && Self.isString(context.name)
    book.note("MC-018", isName, "NAMESPACE:LEAF in UTF-8, at most 4096 bytes", shown(context.name), in: transcript)
    guard isName else { return }
    let namespace = String(decoding: parts[0], as: UTF8.self)
    book.note(
      "MC-019", ["base", "nbd-server", "qemu"].contains(namespace) || namespace.hasPrefix("x-"),
      "namespace base, nbd-server, qemu or x-...", shown(context.name), in: transcript)
    if option == .listMetaContext {
      book.note("MC-002", context.id == 0, "number 0 in a list", "\(context.id)", in: transcript)
    }
  }

  /// UTF-8 without NUL, and no longer than strings may be.
  static func isString(_ data: [UInt8]) -> Bool {
    data.count <= 4096 && !data.contains(0) && String(validating: data, as: UTF8.self) != nil
  }

  /// Where its bytes are another rule's concern, only its length counts.
  private func noteString(_ data: [UInt8], _ what: String, isText: Bool = false) {
    let isString = !isText || String(validating: data, as: UTF8.self) != nil && !data.contains(0)
    book.note(
      "OPT-013", data.count <= 256 && isString, "at most 256 bytes of UTF-8, without NUL", "\(what): \(shown(data))",
      data.count > 4096 || !isString ? .broken : .missed, in: transcript)
  }
}
