/// An option that was sent and has not had its final reply: what it collects until then, and the bounds on that.
///
/// Plain fields, of which an option uses those that it needs, and not an enum of lists: a list inside two enums is
/// copied for every entry, which made a list of 10,000 exports take a second.
struct OptionInProgress: Sendable {
  let type: OptionType
  /// `NBD_OPT_LIST`: the exports so far, and how many more have names that cannot be sent back.
  private(set) var exports: [ExportListing] = []
  private(set) var unusableExports = 0
  /// `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`.
  private(set) var contexts: [MetadataContext] = []
  /// `NBD_OPT_INFO` and `NBD_OPT_GO`.
  private(set) var information = ExportInformation()
  /// Replies so far, without the final one.
  private(set) var replies = 0
  /// Bytes of their payloads.
  private var bytes = 0

  init(_ type: OptionType) { self.type = type }

  /// Counts a reply before its payload is read.
  mutating func begin(_ header: OptionReplyHeader) throws(NBDError) {
    // The final reply is not counted: it ends what the bounds are there to end.
    guard header.type != .ack, !header.type.isError else { return }
    replies += 1
    bytes += header.payloadSize
    guard replies <= Limits.repliesToOneOption else {
      throw .brokenReply(
        to: type, expected: "at most \(Limits.repliesToOneOption) replies, this client's limit", found: "more")
    }
    guard bytes <= Limits.repliesToOneOptionBytes else {
      throw .brokenReply(
        to: type, expected: "at most \(Limits.repliesToOneOptionBytes) bytes in all replies, this client's limit",
        found: "more")
    }
  }

  /// Takes the payload of a reply that is not the final one.
  mutating func add(_ reply: OptionReplyType, _ payload: RawSpan) throws(NBDError) {
    switch (type, reply) {
    case (.list, .server):
      if let export = try ExportListing(whole(reply, payload)) { exports.append(export) } else { unusableExports += 1 }
    case (.setMetaContext, .metaContext):
      let context = try MetadataContext(whole(reply, payload), answering: type)
      try check(context)
      contexts.append(context)
    case (.listMetaContext, .metaContext):
      var context = try MetadataContext(whole(reply, payload), answering: type)
      context.id = 0  // "clients MUST disregard it"
      contexts.append(context)
    case (.info, .info), (.go, .info):
      try information.add(payload, answering: type)
    default:
      throw .brokenReply(to: type, expected: expectedReplies, found: "\(reply)")
    }
  }

  private func whole<Data: WireLayout>(_ reply: OptionReplyType, _ payload: RawSpan) throws(NBDError) -> Data {
    guard let data = Data(payload) else {
      throw .brokenReply(to: type, expected: "a whole \(reply)", found: "one cut off after \(payload.byteCount) bytes")
    }
    return data
  }

  /// Block status chunks are told apart by these ids, so two contexts must not share one. Every block status has a chunk for
  /// each of them, so that they are few.
  private func check(_ context: MetadataContext) throws(NBDError) {
    guard contexts.count < Limits.metadataContexts else {
      throw .brokenReply(
        to: type, expected: "at most \(Limits.metadataContexts) contexts, this client's limit", found: "more")
    }
    for other in contexts where other.id == context.id || other.isNamed(context.name) {
      throw .brokenReply(
        to: type, expected: "each context once with an id of its own",
        found: "\"\(printable(other.name))\" as \(other.id) and \"\(printable(context.name))\" as \(context.id)")
    }
  }

  private var expectedReplies: String {
    let replies: [OptionReplyType] =
      switch type {
      case .list: [.server, .ack]
      case .listMetaContext, .setMetaContext: [.metaContext, .ack]
      case .info, .go: [.info, .ack]
      default: [.ack]
      }
    return replies.map(\.description).joined(separator: ", ") + " or an error"
  }
}
