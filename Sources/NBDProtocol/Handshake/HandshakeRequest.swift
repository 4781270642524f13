/// Whether the conversation is encrypted (*TLS support*).
public enum TLSPolicy: String, Hashable, Sendable {
  /// Never: a server that insists on it is not talked to.
  case off
  /// Where the server can; whoever stands between can have it otherwise.
  case allow
  /// Always: there is no conversation without it.
  case require
}

/// What a client wants from the negotiation.
public struct HandshakeRequest: Hashable, Sendable {
  /// What the negotiation is for, and so how it ends.
  public enum Goal: Hashable, Sendable {
    /// Enter the transmission phase: `NBD_OPT_GO`, or `NBD_OPT_EXPORT_NAME` where the server is too old for it.
    case transmission
    /// Learn about one export and leave: `NBD_OPT_INFO`, then `NBD_OPT_ABORT`.
    case information
    /// Learn which exports there are and leave: `NBD_OPT_LIST`, then `NBD_OPT_ABORT`.
    case list
    /// Learn which metadata contexts an export has and leave: `NBD_OPT_LIST_META_CONTEXT`, then
    /// `NBD_OPT_ABORT`. No queries means all contexts; a query is a namespace, a colon and what that
    /// namespace allows.
    case listContexts(queries: [String])
  }

  /// The export. Empty is the server's default export. UTF-8, at most ``Limits/string`` bytes, no NUL.
  public var exportName: String
  public var goal: Goal
  /// Ask for `NBD_OPT_EXTENDED_HEADERS` first.
  public var wantsExtendedHeaders: Bool
  /// Ask for `NBD_OPT_STRUCTURED_REPLY` where there are no extended headers.
  public var wantsStructuredReplies: Bool
  /// The contexts for `NBD_OPT_SET_META_CONTEXT`; none skips that step, and so does a server that agreed to
  /// neither extended headers nor structured replies.
  public var contexts: [String]
  /// `NBD_OPT_STARTTLS` first of all. What it takes belongs to the ``ServerEndpoint``, which decides this.
  public internal(set) var tls = TLSPolicy.off

  public init(
    exportName: String = "", goal: Goal = .transmission, wantsExtendedHeaders: Bool = true,
    wantsStructuredReplies: Bool = true, contexts: [String] = [MetadataContext.baseAllocation]
  ) {
    self.exportName = exportName
    self.goal = goal
    self.wantsExtendedHeaders = wantsExtendedHeaders
    self.wantsStructuredReplies = wantsStructuredReplies
    self.contexts = contexts
  }

  /// The request as it can be sent: checked, and each context named once, because a server may count a
  /// repeated query as a second context.
  ///
  /// - Throws: ``NBDError/invalidArgument(_:)`` for a string that the protocol forbids to send (*Conventions*,
  ///   *Metadata querying*).
  func checked() throws(NBDError) -> HandshakeRequest {
    try Self.check(exportName, as: "the export name")
    try Self.check(queries: contexts)
    if case .listContexts(let queries) = goal { try Self.check(queries: queries) }

    var request = self
    var seen = Set<String>()
    request.contexts = contexts.filter { seen.insert($0).inserted }
    return request
  }

  private static func check(_ string: String, as what: String) throws(NBDError) {
    let size = string.utf8.count
    guard size <= Limits.string else {
      throw .invalidArgument("\(what) has \(size) bytes: the protocol allows \(Limits.string)")
    }
    guard !string.utf8.contains(0) else { throw .invalidArgument("\(what) contains a NUL byte") }
  }

  private static func check(queries: [String]) throws(NBDError) {
    var total = 0
    for query in queries {
      let what = "the metadata context \"\(printable(query))\""
      try check(query, as: what)
      // Scalars and not characters, because a combining mark after the colon would hide it.
      let scalars = query.unicodeScalars
      guard let colon = scalars.firstIndex(of: ":"), colon > scalars.startIndex,
        !scalars[..<colon].contains(where: \.properties.isWhitespace)
      else { throw .invalidArgument("\(what) does not begin with a namespace and a colon, as in base:allocation") }
      total += MemoryLayout<UInt32>.size + query.utf8.count
      // No server reads options without a bound of its own; ours on its replies is fair for it too.
      guard total <= Limits.optionReply else {
        throw .invalidArgument("the metadata contexts take more than \(Limits.optionReply) bytes together")
      }
    }
  }
}
