/// The order of the negotiation: what each message leads to (*Newstyle negotiation*, *Fixed newstyle negotiation*).
///
/// ```
/// STARTTLS -> (TLS) -> as below
/// EXTENDED_HEADERS -> STRUCTURED_REPLY -> SET_META_CONTEXT -> GO | INFO -> (EXPORT_NAME)
///                                      -> LIST_META_CONTEXT
/// LIST
/// ```
///
/// Each step either sends its option or, where it has no use, falls through to the next one.
extension HandshakeMachine {
  /// Hands a whole message to the state that waited for it.
  mutating func advance(with message: RawSpan) throws(NBDError) {
    switch takeState() {
    case .magic:
      try checkMagic(Self.whole(message))
      state = .secondMagic
    case .secondMagic:
      try chooseStyle(Self.whole(message))
    case .handshakeFlags:
      try answerGreeting(Self.whole(message))
    case .oldstyleExport:
      let export: OldstyleExport = try Self.whole(message)
      try finish(name: "", size: export.size, flags: export.transmissionFlags, after: .exportName)
    case .exportNameReply:
      let export: ExportNameReply = try Self.whole(message)
      try finish(name: request.exportName, size: export.size, flags: export.flags, after: .exportName)
    case .optionReplyHeader(var option):
      let header: OptionReplyHeader = try Self.whole(message)
      try header.check(answering: option.type)
      try option.begin(header)
      state = .optionReplyPayload(option, header)
    case .optionReplyPayload(let option, let header) where header.type == .ack && option.type == .startTLS:
      guard header.length == 0 else {
        throw .brokenReply(to: .startTLS, expected: "NBD_REP_ACK without data", found: "\(header.length) bytes of it")
      }
      state = .tlsAwaited
    case .optionReplyPayload(let option, let header) where header.type == .ack:
      if header.length > 0 { note("\(option.type): ignored \(header.length) bytes of data after NBD_REP_ACK") }
      try acknowledged(option)
    case .optionReplyPayload(let option, let header) where header.type.isError:
      try refused(option.type, header.type, text: ServerWords.text(message.copyBytes()))
    case .optionReplyPayload(var option, let header):
      try option.add(header.type, message)
      state = .optionReplyHeader(option)
    case .tlsAwaited, .finished, .failed, .inHand:
      break  // these wait for no message
    }
  }

  /// A message of the size that its state waited for, which therefore has no bytes missing.
  private static func whole<Message: WireLayout>(_ message: RawSpan) throws(NBDError) -> Message {
    guard let whole = Message(message) else {
      throw .broken("the handshake", expected: "a whole \(Message.self)", found: "\(message.byteCount) bytes")
    }
    return whole
  }

  // MARK: The options, in order

  /// The first option: TLS, so that nobody else hears or says the others.
  mutating func beginOptions() {
    if request.tls == .off { negotiate() } else { send(.startTLS) }
  }

  /// TLS has been established: the server is who it should be, and the negotiation begins. Of what was said in the clear nothing
  /// counts any more but the flags, which say that there are options, and which the server does not repeat.
  public mutating func tlsEstablished() {
    guard wantsTLS else { return }
    notes = []
    var encrypted = Terms()
    encrypted.handshake = .fixedNewstyle
    encrypted.flags = terms.flags
    encrypted.isEncrypted = true
    terms = encrypted
    negotiate()
  }

  /// Replies and contexts are not negotiated for a mere list: they change nothing there.
  private mutating func negotiate() {
    if request.goal == .list {
      send(.list)
    } else if request.wantsExtendedHeaders {
      send(.extendedHeaders)
    } else {
      negotiateStructuredReplies()
    }
  }

  private mutating func negotiateStructuredReplies() {
    if request.wantsStructuredReplies { send(.structuredReply) } else { negotiateContexts() }
  }

  private mutating func negotiateContexts() {
    let hasReplies = terms.replies > .simple
    if case .listContexts(let queries) = request.goal {
      if hasReplies {
        send(.listMetaContext, contextRequest(queries))
      } else {
        note("NBD_OPT_LIST_META_CONTEXT skipped: without structured replies there are no metadata contexts")
        leave(with: .contexts([]))
      }
    } else if hasReplies && !request.contexts.isEmpty {
      send(.setMetaContext, contextRequest(request.contexts))
    } else {
      chooseExport()
    }
  }

  private func contextRequest(_ queries: [String]) -> [UInt8] {
    MetaContextRequest(name: Array(request.exportName.utf8), queries: queries.map { Array($0.utf8) }).encoded
  }

  private mutating func chooseExport() {
    let data = InformationRequest(name: Array(request.exportName.utf8), items: ExportInformation.requested)
    send(request.goal == .information ? .info : .go, data.encoded)
  }

  mutating func sendExportName() {
    sendOption(.exportName, Array(request.exportName.utf8))
    state = .exportNameReply(reserved: terms.flags.contains(.noZeroes) ? 0 : ExportNameReply.reservedSize)
  }

  private mutating func send(_ option: OptionType, _ data: [UInt8] = []) {
    sendOption(option, data)
    state = .optionReplyHeader(OptionInProgress(option))
  }

  // MARK: Final replies

  private mutating func acknowledged(_ option: OptionInProgress) throws(NBDError) {
    switch option.type {
    case .extendedHeaders:
      terms.replies = .extended
      negotiateContexts()
    case .structuredReply:
      terms.replies = .structured
      negotiateContexts()
    case .setMetaContext:
      // A context that was not asked for stays, under its own name: its chunks have to be understood.
      terms.contexts = option.contexts
      for name in request.contexts where !terms.contexts.contains(where: { $0.isNamed(name) }) {
        note("the server has no metadata context \"\(name)\" for this export")
      }
      chooseExport()
    case .listMetaContext:
      leave(with: .contexts(option.contexts))
    case .list:
      if option.unusableExports > 0 {
        note(
          "\(option.unusableExports) exports left out of the list: their names are too long, not UTF-8, or contain "
            + "a NUL")
      }
      leave(with: .exports(option.exports))
    default:
      let information = option.information
      guard let essentials = information.essentials else {
        sayGoodbye(after: option.type)
        throw .brokenReply(to: option.type, expected: "NBD_INFO_EXPORT before NBD_REP_ACK", found: "none")
      }
      try finish(
        name: request.exportName, size: essentials.size, flags: essentials.flags, information: information,
        after: option.type)
    }
  }

  /// An error reply. Optional steps are skipped, and the others end the negotiation.
  private mutating func refused(
    _ option: OptionType, _ reply: OptionReplyType, text: String
  ) throws(NBDError) {
    let refusal = NBDError.refusal(of: option, with: reply, text: text)
    // "If the client receives NBD_REP_ERR_SHUTDOWN it MUST initiate a soft disconnect", and a server that wants
    // TLS for one option wants it for all: neither is worth another try.
    let isOptional = reply != .shutdown && reply != .tlsRequired
    switch option {
    case .startTLS where isOptional && request.tls == .allow:
      note("no TLS: \(refusal)")
      negotiate()
    case .startTLS where text.isEmpty && request.tls == .require:
      sayGoodbye(after: nil)
      throw .refused(option: .startTLS, reply: reply, message: "TLS is required")
    case .extendedHeaders where isOptional:
      note("no extended headers: \(refusal)")
      negotiateStructuredReplies()
    case .structuredReply where isOptional:
      note("no structured replies: \(refusal)")
      negotiateContexts()
    case .setMetaContext where isOptional:
      note("no metadata contexts: \(refusal)")
      chooseExport()
    case .listMetaContext where reply == .unsupported:
      note("no metadata contexts: \(refusal)")
      leave(with: .contexts([]))
    // Not over TLS: how long the answer to the older option is was agreed on in the clear.
    case .info where reply == .unsupported && terms.replies < .extended && !terms.isEncrypted,
      .go where reply == .unsupported && terms.replies < .extended && !terms.isEncrypted:
      note("falling back to NBD_OPT_EXPORT_NAME: \(refusal)")
      sendExportName()
    default:
      sayGoodbye(after: nil)
      throw refusal
    }
  }
}
