/// The start of the negotiation: what the server says before the client says anything, and the answer (*Oldstyle negotiation*,
/// *Newstyle negotiation*).
extension HandshakeMachine {
  /// The first magic. What else listens on a port (HTTP, SSH, TLS) is named by its own first words.
  func checkMagic(_ magic: GreetingMagic) throws(NBDError) {
    guard magic.rawValue == Magic.initial else {
      throw .broken(
        "the greeting is not NBD's", expected: Self.quoted(Magic.initial), found: Self.quoted(magic.rawValue))
    }
  }

  /// The second magic says which negotiation follows.
  mutating func chooseStyle(_ magic: GreetingMagic) throws(NBDError) {
    switch magic.rawValue {
    case Magic.option: state = .handshakeFlags
    case Magic.oldstyle: try beginOldstyle()
    default:
      throw .broken(
        "the greeting's second magic", expected: "\(Self.quoted(Magic.option)) or \(hex(Magic.oldstyle))",
        found: Self.quoted(magic.rawValue))
    }
  }

  /// An oldstyle server has one export and no options: it cannot list, and it cannot be told to stop.
  private mutating func beginOldstyle() throws(NBDError) {
    guard request.goal == .transmission else {
      throw .unsupported("the server speaks the oldstyle handshake, which has no options: it can only be mounted")
    }
    guard request.tls != .require else { throw Self.cannotEncrypt("the oldstyle handshake") }
    terms.handshake = .oldstyle
    note("the server speaks the oldstyle handshake: no structured replies, metadata contexts or block sizes")
    if !request.exportName.isEmpty {
      note("the export name \"\(request.exportName)\" is ignored: an oldstyle server has one export without a name")
    }
    state = .oldstyleExport
  }

  /// The server has said which of the two newstyles it speaks.
  mutating func answerGreeting(_ flags: HandshakeFlags) throws(NBDError) {
    terms.flags = flags
    let isFixed = flags.contains(.fixedNewstyle)
    if !isFixed && !canEndWithExportName {
      throw .unsupported("the server speaks the newstyle handshake before it was fixed: it has no options to ask")
    }
    guard isFixed || request.tls != .require else { throw Self.cannotEncrypt("the newstyle handshake before it was fixed") }
    send(Self.clientFlags(for: flags).encoded)

    if isFixed {
      terms.handshake = .fixedNewstyle
      beginOptions()
    } else {
      note("the server speaks the newstyle handshake before it was fixed: only NBD_OPT_EXPORT_NAME can be sent")
      sendExportName()
    }
  }

  private static func cannotEncrypt(_ style: String) -> NBDError {
    .unsupported("TLS is required, and the server speaks \(style), which has none")
  }

  private var canEndWithExportName: Bool {
    switch request.goal {
    case .transmission, .information: true
    case .list, .listContexts: false
    }
  }

  /// The answer to the server's flags: what both sides know. Unknown bits are not answered.
  private static func clientFlags(for flags: HandshakeFlags) -> ClientFlags {
    var answer: ClientFlags = []
    if flags.contains(.fixedNewstyle) { answer.insert(.fixedNewstyle) }
    if flags.contains(.noZeroes) { answer.insert(.noZeroes) }
    return answer
  }

  /// A magic, with the text that it is.
  private static func quoted(_ magic: UInt64) -> String {
    "\(hex(magic)) (\"\(printable(String(decoding: GreetingMagic(rawValue: magic).encoded, as: UTF8.self)))\")"
  }
}
