import NBDProtocol

/// What a check has at hand: connections in any state, what is known of the server, and ways to say what was found.
final class Probe {
  let clause: Clause
  let target: any Target
  let settings: Settings
  let facts: Facts
  let book: RuleBook
  let transcript = Transcript()
  let deadline: Deadline
  /// When half of the check's time is gone, and no more attempts are begun.
  private let halfTime: Deadline
  /// The check has ended the server, so that it is to be started again.
  var restartsServer = false
  private(set) var sessions: [Session] = []
  private var keepsSessions = false
  private var hasMetAnEnd = false

  /// The server has ended a connection of the check.
  var hasMetItsEnd: Bool { hasMetAnEnd || sessions.contains { $0.hasMetItsEnd } }

  func releaseSessions() {
    hasMetAnEnd = hasMetItsEnd
    sessions = []
  }

  init(_ clause: Clause, _ target: any Target, _ settings: Settings, _ facts: Facts, _ book: RuleBook) {
    self.clause = clause
    self.target = target
    self.settings = settings
    self.facts = facts
    self.book = book
    deadline = .after(milliseconds: settings.longest)
    halfTime = .after(milliseconds: settings.longest / 2)
  }

  // MARK: What was found

  /// Whether what the clause wants is so.
  func expect(_ isKept: Bool, _ expected: @autoclosure () -> String, _ found: @autoclosure () -> String) throws {
    if !isKept { throw Finding(kind: .missed, expected: expected(), found: found()) }
  }

  /// Whether the best is so, where less is not forbidden.
  func prefer(_ isKept: Bool, _ expected: @autoclosure () -> String, _ found: @autoclosure () -> String) throws {
    if !isKept { throw Finding(kind: .warned, expected: expected(), found: found()) }
  }

  /// A conversation that cannot go on.
  func broken(_ expected: String, _ found: String) -> Finding { Finding(kind: .broken, expected: expected, found: found) }

  /// The check applies only where that is so.
  func need(_ applies: Bool, _ reason: @autoclosure () -> String) throws {
    if !applies { throw Finding(kind: .skipped, found: reason()) }
  }

  /// The optional, where there is one.
  func need<T>(_ value: T?, _ reason: @autoclosure () -> String) throws -> T {
    guard let value else { throw Finding(kind: .skipped, found: reason()) }
    return value
  }

  /// The kind of replies can be agreed.
  func need(_ form: ReplyForm) throws { try need(facts.flags[form] != nil, "the server has no \(form.name)") }

  func need(_ flag: TransmissionFlags, _ name: String) throws { try need(facts.has(flag), "\(name) is not advertised") }

  func needAbsent(_ flag: TransmissionFlags, _ name: String) throws { try need(!facts.has(flag), "\(name) is advertised") }

  /// The export has that many bytes.
  func need(size: UInt64) throws { try need(facts.size >= size, "the export is smaller than \(size) bytes") }

  /// Runs `body`, in which the client breaks a rule, so that the server may hang up. False where it did.
  @discardableResult
  func breaking(_ session: Session, _ body: () throws -> Void) throws -> Bool {
    session.isLicensed = true
    defer { session.isLicensed = false }
    do { try body() } catch let finding as Finding where finding.kind == .licensedEnd { return false }
    return true
  }

  /// Runs `body`, in which the server should not hang up: where it does, that is as bad as the clause's level says.
  func staying(_ session: Session, _ body: () throws -> Void) throws {
    do { try body() } catch let finding as Finding where finding.kind == .broken && session.hasMetItsEnd {
      throw Finding(kind: .missed, expected: finding.expected, found: finding.found)
    }
  }

  // MARK: Connections

  /// From here on, connections stay open when another is made. Otherwise there is one at a time, as some servers serve only one.
  func keepSessions() { keepsSessions = true }

  /// The same, for a check that says something on several connections in turn.
  func needCompanions() throws {
    try need(!target.hasServerForEachConnection, "each connection has a server of its own")
    try need(facts.greetsCompanions, "the server serves one client at a time")
    keepSessions()
  }

  /// A connection on which nothing was said. Those before it are closed, but for ``keepSessions()``.
  func connect() throws -> Session {
    if !keepsSessions { closeAll() }
    let socket: OwnedDescriptor
    do {
      socket = try target.connect(deadline: min(deadline, .after(milliseconds: settings.timeout)))
    } catch {
      transcript.add(0, .event, "\(error)")
      throw broken("a connection", "\(error)")
    }
    let session = Session(socket, settings, deadline: deadline, transcript, book)
    session.isWithoutTLS = facts.tls == .none
    session.minimumBlock = facts.minimum
    session.maximumPayload = facts.blocks?.maximum
    sessions.append(session)
    return session
  }

  /// Behind the greeting, which is not looked at.
  func greeted() throws -> Session {
    try need(!facts.isOldstyle, "the server is oldstyle")
    let session = try connect()
    let greeting = try session.receive(18, "the greeting")
    session.log(
      .received, "greeting",
      [
        Field("magic", greeting[0..<8], "NBDMAGIC"), Field("magic", greeting[8..<16], "IHAVEOPT"),
        Field("handshake flags", greeting[16..<18]),
      ])
    return session
  }

  /// In the option haggling, inside TLS where that was asked for.
  ///
  /// - Parameters:
  ///   - flags: the client's; what the server offers where there are none given. TLS needs the first of them.
  ///   - isPlain: in the clear, whatever was asked for and whatever the server wants.
  func haggling(flags: UInt32? = nil, isPlain: Bool = false, needsOptions: Bool = true) throws -> Session {
    let sent = flags ?? UInt32(facts.handshakeFlags & 3)
    let isInside = facts.usesTLS && !isPlain && sent & 1 == 1
    if !isPlain, !isInside { try need(facts.tls != .forced && !facts.usesTLS, "the server wants TLS, or was asked for it") }
    if needsOptions, flags == nil, !facts.isOldstyle {
      if facts.handshakeFlags == 0, let obstacle = facts.obstacle { throw Finding(kind: .skipped, found: obstacle) }
      try need(facts.handshakeFlags & 1 != 0, "the server is not fixed newstyle, and knows no options but NBD_OPT_EXPORT_NAME")
    }
    let session = try greeted()
    try sendFlags(session, sent)
    if isInside { try encrypt(session) }
    return session
  }

  /// Asks for TLS, as a good server has granted it before, and begins it.
  func encrypt(_ session: Session) throws {
    let credentials = try need(target.tls, "TLS was not asked for")
    try acknowledged(session, .startTLS)
    if let error = session.beginTLS(credentials) { throw broken("TLS, as before", "\(error)") }
  }

  func sendFlags(_ session: Session, _ flags: UInt32) throws {
    try session.send(bytes(flags), "client flags", [Field("client flags", bytes(flags))])
  }

  /// In the transmission phase, with these replies, and contexts selected.
  func transmission(_ form: ReplyForm = .simple, contexts: [String] = [], name: [UInt8]? = nil) throws -> Session {
    if let obstacle = facts.obstacle { throw Finding(kind: .skipped, found: obstacle) }
    try need(form)
    if facts.isOldstyle { return try oldstyle() }
    let session = try haggling(needsOptions: form != .simple)
    try agree(session, form)
    if !contexts.isEmpty { try select(session, contexts, name: name) }
    try go(session, name: name)
    return session
  }

  private func oldstyle() throws -> Session {
    let session = try connect()
    let greeting = try session.receive(152, "the oldstyle greeting")
    session.log(
      .received, "oldstyle greeting",
      [Field("magics", greeting[0..<16]), Field("size", greeting[16..<24]), Field("flags", greeting[24..<28])])
    return session
  }

  func agree(_ session: Session, _ form: ReplyForm) throws {
    switch form {
    case .simple: return
    case .structured: try acknowledged(session, .structuredReply)
    case .extended: try acknowledged(session, .extendedHeaders)
    }
    session.form = form
  }

  /// Selects contexts, and remembers their numbers.
  func select(_ session: Session, _ names: [String], name: [UInt8]? = nil) throws {
    let answer = try acknowledged(session, .setMetaContext, contextData(names, name: name))
    session.contexts = [:]
    for context in answer.contexts { session.contexts[context.id] = String(decoding: context.name, as: UTF8.self) }
  }

  /// Enters the transmission phase by `NBD_OPT_GO`, or by `NBD_OPT_EXPORT_NAME` where there is no other way.
  @discardableResult
  func go(_ session: Session, _ items: [UInt16] = [3], name: [UInt8]? = nil) throws -> OptionAnswer {
    guard facts.hasGo else {
      try session.sendOption(.exportName, name ?? facts.exportName)
      let padding = facts.handshakeFlags & 2 == 0 ? ExportNameReply.reservedSize : 0
      let reply = try session.receive(ExportNameReply.encodedSize + padding, "size and flags")
      session.log(.received, "export", [Field("size", reply[0..<8]), Field("flags", reply[8..<10])])
      return OptionAnswer(option: .exportName)
    }
    return try acknowledged(session, .go, information(items, name: name))
  }

  /// An option that a good server takes, because it took it before.
  @discardableResult
  func acknowledged(_ session: Session, _ option: OptionType, _ data: [UInt8] = []) throws -> OptionAnswer {
    let answer = try session.option(option, data)
    guard answer.isAcknowledged else { throw broken("NBD_REP_ACK to \(option), as before", answer.summary) }
    return answer
  }

  /// Runs `body` again and again, on connections of its own, until it finds something: for what a server's threads race about,
  /// which shows on one connection in a few. Only the last attempt is kept in the transcript. A server that is slow, or far away,
  /// is tried less often: no attempt but the first is begun when half of the check's time is gone.
  ///
  /// - Parameter factor: how many times as often as usual, for what shows on one in many.
  func repeatedly(_ factor: Int = 1, _ body: (_ attempt: Int) throws -> Void) throws {
    for attempt in 0..<(settings.attempts * factor) {
      if attempt > 0 {
        guard !halfTime.hasPassed else { return transcript.add(0, .event, "that is enough: half of the check's time is gone") }
        closeAll()
        transcript.startOver()
      }
      try body(attempt)
    }
  }

  // MARK: What is sent

  /// The data of `NBD_OPT_INFO` and `NBD_OPT_GO`, for our export where no other is named.
  func information(_ items: [UInt16] = [], name: [UInt8]? = nil) -> [UInt8] {
    InformationRequest(name: name ?? facts.exportName, items: items.map(InfoType.init(rawValue:))).encoded
  }

  /// The data of the options about contexts.
  func contextData(_ queries: [String], name: [UInt8]? = nil) -> [UInt8] {
    contextData(queries.map(utf8), name: name)
  }

  func contextData(_ queries: [[UInt8]], name: [UInt8]? = nil) -> [UInt8] {
    MetaContextRequest(name: name ?? facts.exportName, queries: queries).encoded
  }

  /// A name that no export has, of the shape that makes errors easy to read.
  static let strangeName = utf8("no-such-export-5f2c81")

  // MARK: Still in step

  /// The server answers the next option as it should.
  func inSync(_ session: Session) throws {
    let answer = try session.option(.info, information([3]))
    if facts.hasGo, facts.obstacle == nil, !answer.isAcknowledged, answer.final != .blockSizeRequired {
      throw broken("NBD_REP_ACK to the next NBD_OPT_INFO", answer.summary)
    }
  }

  /// The server answers a new client, and still does a moment later: a crash takes a moment.
  func livesOn() throws {
    let session = try haggling()
    try inSync(session)
    _ = session.isQuiet()
    try inSync(session)
  }

  /// Sends a byte, and the rest one by one after a moment, so that the server sees pieces.
  func drip(_ session: Session, _ bytes: [UInt8], _ title: String) throws {
    for (index, byte) in bytes.enumerated() {
      try session.send([byte], "a byte of \(title)")
      if index == 0 { _ = session.isQuiet() }
    }
  }

  /// The server answers the next read with data.
  func stillReads(_ session: Session) throws {
    try need(size: facts.unit)
    let reply = try session.request(.read, 0, facts.unit)
    guard reply.data(0, Int(facts.unit)) != nil else { throw broken("the data of the next read", reply.summary) }
  }

  /// What `length` bytes at `offset` hold.
  func read(_ session: Session, _ offset: UInt64, _ length: Int) throws -> [UInt8] {
    let reply = try session.request(.read, offset, UInt64(length))
    guard let data = reply.data(offset, length) else { throw broken("\(length) bytes of data at \(offset)", reply.summary) }
    return data
  }

  /// A write that a good server takes.
  func write(_ session: Session, _ offset: UInt64, _ data: [UInt8], flags: CommandFlags = []) throws {
    let reply = try session.request(.write, flags: flags, offset, UInt64(data.count), payload: data)
    guard reply.isSuccess else { throw broken("success of a write of \(data.count) bytes at \(offset)", reply.summary) }
  }

  /// `count` bytes that say which `seed` they are of, none of them 0.
  static func pattern(_ count: Int, _ seed: UInt8 = 1) -> [UInt8] {
    let period = (0..<251).map { UInt8(1 + ($0 + Int(seed) * 37) % 251) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 251)
    while bytes.count < count { bytes += period }
    return Array(bytes.prefix(count))
  }
}
