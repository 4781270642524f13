/// An option that was sent and has not had its final reply: what it collects until then, and the bounds on that.
struct OptionInProgress: Sendable {
  /// What the replies before the final one have brought, by option.
  enum Collected: Sendable {
    /// An option that has no replies but the final one.
    case nothing
    /// `NBD_OPT_LIST`; `unusable` counts the exports whose names cannot be sent back.
    case exports([ExportListing], unusable: Int)
    /// `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`.
    case contexts([MetadataContext])
    /// `NBD_OPT_INFO` and `NBD_OPT_GO`.
    case information(ExportInformation)
  }

  let type: OptionType
  private(set) var collected: Collected
  /// Replies so far.
  private(set) var replies = 0
  /// Bytes of their payloads.
  private var bytes = 0

  init(_ type: OptionType) {
    self.type = type
    collected =
      switch type {
      case .list: .exports([], unusable: 0)
      case .listMetaContext, .setMetaContext: .contexts([])
      case .info, .go: .information(ExportInformation())
      default: .nothing
      }
  }

  /// Counts a reply before its payload is read.
  mutating func begin(_ header: OptionReplyHeader) throws(NBDError) {
    // The final reply is not counted: it ends what the bounds are there to end.
    guard header.type != .ack, !header.type.isError else { return }
    replies += 1
    bytes += header.length
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
    // Moved out and back, so that a list grows in place.
    var taken = Collected.nothing
    swap(&taken, &collected)
    switch (taken, reply) {
    case (.exports(var exports, var unusable), .server):
      taken = .nothing
      if let export = try OptionReply.server(payload) { exports.append(export) } else { unusable += 1 }
      collected = .exports(exports, unusable: unusable)
    case (.contexts(var contexts), .metaContext):
      taken = .nothing
      var context = try OptionReply.metaContext(payload, answering: type)
      if type == .setMetaContext {
        try checkUnique(context, among: contexts)
      } else {
        context.id = 0  // "clients MUST disregard it"
      }
      contexts.append(context)
      collected = .contexts(contexts)
    case (.information(var information), .info):
      try information.add(payload, answering: type)
      collected = .information(information)
    default:
      throw .brokenReply(to: type, expected: expectedReplies, found: "\(reply)")
    }
  }

  /// Block status chunks are told apart by these ids, so two contexts must not share one.
  private func checkUnique(_ context: MetadataContext, among contexts: [MetadataContext]) throws(NBDError) {
    for other in contexts where other.id == context.id || other.name == context.name {
      throw .brokenReply(
        to: type, expected: "each context once with an id of its own",
        found: "\"\(printable(other.name))\" as \(other.id) and \"\(printable(context.name))\" as \(context.id)")
    }
  }

  private var expectedReplies: String {
    switch type {
    case .list: "NBD_REP_SERVER, NBD_REP_ACK or an error"
    case .listMetaContext, .setMetaContext: "NBD_REP_META_CONTEXT, NBD_REP_ACK or an error"
    case .info, .go: "NBD_REP_INFO, NBD_REP_ACK or an error"
    default: "NBD_REP_ACK or an error"
    }
  }
}
