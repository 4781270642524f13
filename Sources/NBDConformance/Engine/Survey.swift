import NBDProtocol

/// Finds out what the server is, before anything is judged: what goes wrong here is only taken note of.
final class Survey {
  let target: any Target
  let settings: Settings
  private var facts = Facts()

  init(_ target: any Target, _ settings: Settings, exportName: [UInt8]) {
    self.target = target
    var patient = settings
    patient.timeout *= 3
    self.settings = patient
    facts.exportName = exportName
  }

  /// Throws ``NBDError`` where no connection can be made at all, and where TLS was asked for and cannot be had.
  func run() throws -> Facts {
    do {
      let socket = try target.connect(deadline: .after(milliseconds: max(settings.timeout, 5000)))
      _ = socket.rawValue
    }
    step("the greeting") { [self] probe in try greet(probe) }
    if facts.isOldstyle || facts.obstacle == nil && facts.handshakeFlags & 1 == 0 { try goWithoutTLS() }
    guard !facts.isOldstyle, facts.obstacle == nil else { return facts }
    guard facts.handshakeFlags & 1 != 0 else {
      step("NBD_OPT_EXPORT_NAME") { [self] probe in try enterByName(probe.haggling(needsOptions: false)) }
      if facts.flags.isEmpty { facts.obstacle = "no way into the transmission phase was found" }
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
    }
    if facts.flags.isEmpty, facts.obstacle == nil { facts.obstacle = "no way into the transmission phase was found" }
    step("another name") { [self] probe in
      guard facts.hasGo else { return }
      let answer = try probe.haggling().option(.info, probe.information(name: Probe.strangeName))
      facts.acceptsAnyName = answer.isAcknowledged
    }
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
      throw NBDError.insecure("the server has TLS, which does not begin: \(finding.found)")
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
}
