import NBDProtocol

/// Finds out what the server is, before anything is judged: what goes wrong here is only taken note of.
final class Survey {
  let target: any Target
  let settings: Settings
  private var facts = Facts()
  /// Milliseconds that a second client's greeting is waited for.
  private let welcome: Int
  /// Milliseconds for a server to end with its last client, before it is known to do so.
  private static let leave = 500
  /// `NBD_OPT_GO` was answered with `NBD_REP_ERR_UNKNOWN`.
  private var isUnknown = false

  init(_ target: any Target, _ settings: Settings, exportName: [UInt8]) {
    self.target = target
    welcome = settings.timeout
    var patient = settings
    patient.timeout *= 3
    self.settings = patient
    facts.exportName = exportName
  }

  /// Throws ``NBDError`` where no connection can be made at all, where TLS was asked for and cannot be had, and where the server
  /// has no export of that name.
  func run() throws -> Facts {
    do {
      let socket = try target.connect(deadline: .after(milliseconds: max(settings.timeout, 5000)))
      _ = socket.rawValue
    }
    // Here, or behind the transmission phase, one that leaves with its last client does so for the first time.
    _ = target.takeCrash(within: Self.leave)
    step("the greeting") { [self] probe in try greet(probe) }
    if facts.isOldstyle || facts.obstacle == nil && facts.handshakeFlags & 1 == 0 { try goWithoutTLS() }
    guard !facts.isOldstyle, facts.obstacle == nil else {
      lookForCompanions()
      return facts
    }
    guard facts.handshakeFlags & 1 != 0 else {
      step("NBD_OPT_EXPORT_NAME") { [self] probe in try enterByName(probe.haggling(needsOptions: false)) }
      if facts.flags.isEmpty { facts.obstacle = "no way into the transmission phase was found" }
      lookForCompanions()
      return facts
    }
    step("NBD_OPT_STARTTLS") { [self] probe in try lookForTLS(probe) }
    try beginTLS()
    if facts.tls == .forced, !facts.usesTLS {
      facts.obstacle = "the server wants TLS, which was not asked for (an nbds: URI, a key or certificates)"
      return facts
    }
    step("NBD_OPT_LIST") { [self] probe in
      let answer = try probe.haggling().option(.list)
      if answer.isAcknowledged { facts.servers = answer.servers }
    }
    step("NBD_OPT_INFO") { [self] probe in
      let answer = try probe.haggling().option(.info, probe.information([1, 2, 3]))
      facts.hasGo = answer.final != .unsupported
      facts.blocks = answer.blocks
    }
    for form in [ReplyForm.simple, .structured, .extended] {
      step(form.name) { [self] probe in try enter(probe, form) }
      if form == .simple { _ = target.takeCrash(within: Self.leave) }
    }
    if isUnknown, facts.flags.isEmpty { throw unknownExport }
    if facts.flags.isEmpty, facts.obstacle == nil { facts.obstacle = "no way into the transmission phase was found" }
    step("another name") { [self] probe in
      guard facts.hasGo else { return }
      let answer = try probe.haggling().option(.info, probe.information([3], name: Probe.strangeName))
      facts.acceptsAnyName = answer.isAcknowledged
    }
    step("NBD_OPT_EXPORT_NAME") { [self] probe in try lookForInsistence(probe) }
    step("contexts") { [self] probe in
      guard facts.flags[.structured] != nil else { return }
      let session = try probe.haggling()
      try probe.agree(session, .structured)
      let answer = try session.option(.listMetaContext, probe.contextData([] as [String]))
      if answer.isAcknowledged {
        facts.contexts = answer.contextNames
      } else if answer.final != .unsupported {
        facts.contexts = []
      }
    }
    lookForCompanions()
    return facts
  }

  /// One step on a probe of its own, whose findings are nobody's.
  private func step(_ name: String, _ body: (Probe) throws -> Void) {
    guard let clause = Catalogue.clauses.first else { return }
    let probe = Probe(clause, target, settings, facts, RuleBook())
    do { try body(probe) } catch {
      guard name == "the greeting", facts.obstacle == nil, let finding = error as? Finding else { return }
      facts.obstacle = "\(name): \(finding.found)"
    }
  }

  private func greet(_ probe: Probe) throws {
    let session = try probe.connect()
    let magics = try session.receive(16, "the greeting")
    facts.isOldstyle = magics.span.bytes.loadBigEndian(8, as: UInt64.self) == Magic.oldstyle
    if facts.isOldstyle {
      let rest = try session.receive(136, "the oldstyle greeting")
      guard let export = OldstyleExport(rest.span.bytes) else { return }
      facts.size = export.size
      facts.flags[.simple] = export.transmissionFlags.rawValue
    } else {
      let flags = try session.receive(2, "the handshake flags")
      facts.handshakeFlags = flags.span.bytes.loadBigEndian(0)
    }
  }

  /// Whether TLS is known, wanted, or neither.
  private func lookForTLS(_ probe: Probe) throws {
    let answer = try probe.haggling().option(.info, probe.information())
    facts.needsTLS = answer.final == .tlsRequired
    if facts.needsTLS {
      let other = try probe.haggling().option(.list)
      facts.tls = other.final == .tlsRequired ? .forced : .selective
    }
    if facts.tls == .none, try probe.haggling().option(.startTLS).isAcknowledged { facts.tls = .selective }
  }

  /// TLS was asked for, and the server does not have it.
  private func goWithoutTLS() throws(NBDError) {
    guard target.tls?.policy == .require else { return }
    throw .insecure("TLS was asked for, and the server does not have it")
  }

  /// From here on conversations are inside TLS, where that was asked for. With TLS 1.3 a server says only then what it thinks of
  /// us.
  private func beginTLS() throws {
    guard target.tls != nil, let clause = Catalogue.clauses.first else { return }
    guard facts.tls != .none else { return try goWithoutTLS() }
    facts.usesTLS = true
    let probe = Probe(clause, target, settings, facts, RuleBook())
    defer { probe.closeAll() }
    do { _ = try probe.haggling().option(.list) } catch let finding as Finding {
      throw NBDError.insecure("the server has TLS, in which nothing can be asked: \(finding.found)")
    }
  }

  private func enter(_ probe: Probe, _ form: ReplyForm) throws {
    let session = try probe.haggling()
    switch form {
    case .simple: break
    case .structured: guard try session.option(.structuredReply).isAcknowledged else { return }
    case .extended: guard try session.option(.extendedHeaders).isAcknowledged else { return }
    }
    guard facts.hasGo else {
      try enterByName(session)
      return
    }
    let answer = try session.option(.go, probe.information([3]))
    if let export = answer.export, answer.isAcknowledged {
      facts.size = export.size
      facts.flags[form] = export.flags
    } else if form == .simple {
      isUnknown = answer.final == .unknownExport
      facts.obstacle =
        "the server answered NBD_OPT_GO with \(answer.summary)" + (answer.text.isEmpty ? "" : ": \(printable(answer.text))")
    }
  }

  /// `NBD_OPT_EXPORT_NAME`, for a server that knows nothing newer.
  private func enterByName(_ session: Session) throws {
    try session.sendOption(.exportName, facts.exportName)
    let padding = facts.handshakeFlags & 2 == 0 ? ExportNameReply.reservedSize : 0
    let reply = try session.receive(ExportNameReply.encodedSize + padding, "size and flags")
    guard let export = ExportNameReply(reply.span.bytes) else { return }
    facts.size = export.size
    facts.flags[session.form] = export.flags.rawValue
  }

  /// Whether a second client is greeted while a first is served.
  private func lookForCompanions() {
    step("a second client") { [self] probe in
      guard !target.hasServerForEachConnection else { return }
      _ = try probe.transmission()
      probe.keepSessions()
      facts.greetsCompanions = try probe.connect().stream.hasMore(within: welcome)
    }
  }

  /// Whether a server that wants to be asked for block sizes takes a client that cannot ask.
  private func lookForInsistence(_ probe: Probe) throws {
    guard facts.hasGo else { return }
    guard try probe.haggling().option(.info, probe.information()).final == .blockSizeRequired else { return }
    let session = try probe.haggling()
    try session.sendOption(.exportName, facts.exportName)
    facts.refusesExportName = session.end(ExportNameReply.encodedSize).bytes.count < ExportNameReply.encodedSize
  }

  /// The server does not have the export, and what it has.
  private var unknownExport: NBDError {
    let names = (facts.servers ?? []).map { shown($0.name) }
    let listed = names.prefix(20).joined(separator: ", ") + (names.count > 20 ? ", ... (\(names.count))" : "")
    let text = "there is no export \(shown(facts.exportName))"
    let rest = names.isEmpty ? ", and none is listed" : "; it has \(listed)"
    return .refused(option: .go, reply: .unknownExport, message: text + rest)
  }
}
