/// The order of the negotiation: what each message leads to (*Newstyle negotiation*, *Fixed newstyle negotiation*).
///
/// ```
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
      try Greeting.checkMagic(message)
      state = .secondMagic
    case .secondMagic:
      switch try Greeting.style(message) {
      case .newstyle: state = .handshakeFlags
      case .oldstyle: try beginOldstyle()
      }
    case .handshakeFlags:
      try answerGreeting(HandshakeFlags(rawValue: message.loadBigEndian(0)))
    case .oldstyleExport:
      let export = Greeting.oldstyleExport(message)
      try finish(name: "", size: export.size, flags: export.flags, after: .exportName)
    case .exportNameReply:
      try finish(
        name: request.exportName, size: message.loadBigEndian(0),
        flags: TransmissionFlags(rawValue: message.loadBigEndian(8)), after: .exportName)
    case .optionReplyHeader(var option):
      let header = try OptionReplyHeader(message, answering: option.type)
      try option.begin(header)
      state = .optionReplyPayload(option, header)
    case .optionReplyPayload(let option, let header) where header.type == .ack:
      if header.length > 0 { note("\(option.type): ignored \(header.length) bytes of data after NBD_REP_ACK") }
      try acknowledged(option)
    case .optionReplyPayload(let option, let header) where header.type.isError:
      try refused(option.type, header.type, text: OptionReply.text(message))
    case .optionReplyPayload(var option, let header):
      try option.add(header.type, message)
      state = .optionReplyHeader(option)
    case .finished, .failed, .inHand:
      break  // these wait for no message
    }
  }

  // MARK: The greeting

  /// An oldstyle server has one export and no options: it cannot list, and it cannot be told to stop.
  private mutating func beginOldstyle() throws(NBDError) {
    guard request.goal == .transmission else {
      throw .unsupported("the server speaks the oldstyle handshake, which has no options: it can only be mounted")
    }
    terms.handshake = .oldstyle
    note("the server speaks the oldstyle handshake: no structured replies, metadata contexts or block sizes")
    if !request.exportName.isEmpty {
      note("the export name \"\(request.exportName)\" is ignored: an oldstyle server has one export without a name")
    }
    state = .oldstyleExport
  }

  private mutating func answerGreeting(_ flags: HandshakeFlags) throws(NBDError) {
    terms.flags = flags
    let isFixed = flags.contains(.fixedNewstyle)
    if !isFixed && !canEndWithExportName {
      throw .unsupported("the server speaks the newstyle handshake before it was fixed: it has no options to ask")
    }
    var answer: [UInt8] = []
    answer.appendBigEndian(Greeting.clientFlags(for: flags).rawValue)
    send(answer)

    if isFixed {
      terms.handshake = .fixedNewstyle
      beginOptions()
    } else {
      note("the server speaks the newstyle handshake before it was fixed: only NBD_OPT_EXPORT_NAME can be sent")
      sendExportName()
    }
  }

  private var canEndWithExportName: Bool {
    switch request.goal {
    case .transmission, .information: true
    case .list, .listContexts: false
    }
  }

  // MARK: The options, in order

  /// The first option. Replies and contexts are not negotiated for a mere list: they change nothing there.
  mutating func beginOptions() {
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
        let data = OptionRequest.metaContext(.listMetaContext, name: request.exportName, queries: queries)
        send(.listMetaContext, data)
      } else {
        note("NBD_OPT_LIST_META_CONTEXT skipped: without structured replies there are no metadata contexts")
        leave(with: .contexts([]))
      }
    } else if hasReplies && !request.contexts.isEmpty {
      let data = OptionRequest.metaContext(.setMetaContext, name: request.exportName, queries: request.contexts)
      send(.setMetaContext, data)
    } else {
      chooseExport()
    }
  }

  private mutating func chooseExport() {
    let option: OptionType = request.goal == .information ? .info : .go
    let items = ExportInformation.requested
    send(option, OptionRequest.information(option, name: request.exportName, items: items))
  }

  private mutating func sendExportName() {
    send(OptionRequest.exportName(request.exportName))
    state = .exportNameReply(reserved: terms.flags.contains(.noZeroes) ? 0 : Greeting.reservedSize)
  }

  private mutating func send(_ option: OptionType, _ bytes: [UInt8]? = nil) {
    send(bytes ?? OptionRequest.encode(option))
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
    case .info where reply == .unsupported && terms.replies < .extended,
      .go where reply == .unsupported && terms.replies < .extended:
      note("falling back to NBD_OPT_EXPORT_NAME: \(refusal)")
      sendExportName()
    default:
      sayGoodbye(after: nil)
      throw refusal
    }
  }
}
