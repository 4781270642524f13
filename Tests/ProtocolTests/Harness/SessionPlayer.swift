@testable import NBDProtocol

/// Both machines, one after the other, as a recording drives them.
struct SessionPlayer: ~Copyable {
  /// A place for what cannot be copied, that can be empty.
  private final class Box {
    var value: MachineSession
    init(_ value: consuming MachineSession) { self.value = value }
  }

  /// A line of a recording that is no operation, or one that the machine had no room for.
  struct Unreadable: Error { var text: String }

  private var handshake: HandshakeMachine
  private var session: Box?
  private var names: [Int: String] = [:]
  private var reported = 0
  private(set) var error: NBDError?

  /// Reads have no buffer of their own.
  private let isBufferless: Bool

  init(exportName: String, isBufferless: Bool = false) throws {
    handshake = try HandshakeMachine(HandshakeRequest(exportName: exportName))
    self.isBufferless = isBufferless
  }

  var isTransmitting: Bool { session != nil }
  var export: Export? { session?.value.machine.export }
  var isComplete: Bool { session?.value.outcomes.allSatisfy { !$0.isEmpty } ?? false }
  var violation: ProtocolViolation? { session?.value.violation }

  /// What the client says: all that the handshake has, and at most `most` bytes of the session.
  mutating func output(_ most: Int = .max) -> [UInt8] {
    let bytes = handshake.takeOutput()
    return session == nil ? bytes : bytes + (session?.value.takeOutput(most) ?? [])
  }

  /// Nil as long as there is no session.
  var result: SessionResult? { session?.value.result }

  mutating func receive(_ bytes: some Collection<UInt8>) {
    if session != nil {
      session?.value.receive(bytes)
      return
    }
    do throws(NBDError) { try handshake.receive(Array(bytes).span.bytes) } catch { self.error = error }
    guard case .transmission(let export) = handshake.outcome else { return }
    var session = MachineSession(export, leftover: handshake.takeLeftover(), isBufferless: isBufferless)
    session.drain()
    self.session = Box(session)
  }

  /// `read 0 16`, `write 0 16`, `status 0 4096`: a command, an offset and a length; flags after them.
  mutating func submit(_ text: String) throws {
    let ask = try Self.ask(text)
    guard let number = submit(ask) else {
      if ask.command == .disconnect { return }
      throw Unreadable(text: text)
    }
    names[number] = text
  }

  /// Returns the operation's number. Nil for a disconnect, which is none, and where the machine had no room.
  @discardableResult
  mutating func submit(_ ask: Ask) -> Int? {
    guard ask.command != .disconnect else {
      session?.value.machine.disconnect()
      return nil
    }
    return session?.value.submit(ask) ?? nil
  }

  static func ask(_ text: String) throws -> Ask {
    let words = text.split(separator: " ")
    let commands: [Substring: Command] = [
      "read": .read, "write": .write, "zero": .writeZeroes, "trim": .trim, "cache": .cache, "flush": .flush,
      "status": .blockStatus, "disconnect": .disconnect,
    ]
    guard let command = words.first.flatMap({ commands[$0] }) else { throw Unreadable(text: text) }
    let offset = words.count > 1 ? UInt64(words[1]) ?? 0 : 0
    let length = words.count > 2 ? UInt64(words[2]) ?? 0 : 0
    var flags: CommandFlags = []
    if words.contains("fua") { flags.insert(.fua) }
    if words.contains("one") { flags.insert(.requestOne) }
    return Ask(
      command: command, flags: flags, offset: offset, length: length,
      payload: command == .write ? pattern(Int(length), from: offset) : [])
  }

  /// Whether the export can do it.
  func allows(_ command: Command) -> Bool {
    guard let export else { return false }
    return (try? export.check(.unsent(command, length: command == .flush ? 0 : 512))) != nil
  }

  /// The ends of operations that were not reported before, in the order of the operations.
  mutating func takeOutcomes() -> [String] {
    guard let outcomes = session?.value.outcomes else { return [] }
    var lines: [String] = []
    while reported < outcomes.count, let outcome = outcomes[reported].first {
      var line = "\(names[reported] ?? "?"): "
      switch outcome {
      case .success: line += "success"
      case .failed(let code): line += "\(code)"
      case .abandoned, .connectionLost: line += "\(outcome)"
      }
      if let data = session?.value.data[reported] { line += " " + SessionRecording.hexadecimal(data) }
      if let extents = session?.value.extents[reported]?.first {
        line += " " + extents.map { "\($0.offset)+\($0.length)=\($0.status)" }.joined(separator: " ")
      }
      lines.append(line)
      reported += 1
    }
    return lines
  }

  /// What ``MachineSession/isStuck`` says, once there is a session.
  var isStuck: Bool { session?.value.isStuck ?? false }

  /// Whether the export allows what `text` asks for.
  func canDo(_ text: String) -> Bool {
    guard let ask = try? Self.ask(text) else { return false }
    return canDo(ask)
  }

  func canDo(_ ask: Ask) -> Bool {
    guard let export else { return false }
    let operation = Operation.unsent(ask.command, flags: ask.flags, offset: ask.offset, length: ask.length)
    return ask.command == .disconnect || (try? export.check(operation)) != nil
  }

  /// The connection ends: every operation must then have ended once.
  @discardableResult
  mutating func end() -> Bool {
    session?.value.fail()
    let hasEndedOnce = session?.value.outcomes.allSatisfy { $0.count == 1 } ?? true
    if !hasEndedOnce { fault("an operation has not ended once") }
    return hasEndedOnce
  }
}
