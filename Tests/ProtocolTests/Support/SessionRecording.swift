import Testing

@testable import NBDProtocol

/// A whole session with a server, as a text that a person can check:
///
///     # what it is
///     @ disk               the export's name
///     > read 0 16          an operation that is submitted
///     C: 25 60 95 13 ...   |%`..|      the client's bytes
///     S: 67 44 66 98 ...   |gDf.|      the server's bytes
///     S* 31                            the line before, 31 times more
///     < read 0 16: success 00 01 ...   how it ended
struct SessionRecording: CustomTestStringConvertible {
  enum Event: Equatable {
    case submit(String)
    case client([UInt8])
    case server([UInt8])
    case outcome(String)
  }

  var testDescription: String
  var comments: [String] = []
  var exportName = ""
  var events: [Event] = []

  var serverBytes: [UInt8] {
    events.flatMap { event in if case .server(let bytes) = event { bytes } else { [] as [UInt8] } }
  }

  init(name: String, comments: [String]) {
    testDescription = name
    self.comments = comments
  }

  /// Nil where the text is not as described above.
  init?(name: String, text: String) {
    self.init(name: name, comments: [])
    var row: [UInt8] = []
    for line in text.split(separator: "\n") {
      let rest = String(line.dropFirst(2))
      switch line.prefix(2) {
      case "# ": comments.append(rest)
      case "@ ": exportName = rest
      case "> ": events.append(.submit(rest))
      case "< ": events.append(.outcome(rest))
      case "C*", "S*":
        guard let count = Int(rest.trimmingPrefix(" ")) else { return nil }
        for _ in 0..<count { append(row, isClient: line.hasPrefix("C")) }
      case "C:", "S:":
        guard let words = rest.split(separator: "|").first?.split(separator: " ") else { return nil }
        let bytes = words.compactMap { UInt8($0, radix: 16) }
        guard bytes.count == words.count else { return nil }
        row = bytes
        append(bytes, isClient: line.hasPrefix("C"))
      default: return nil
      }
    }
    guard !events.isEmpty else { return nil }
  }

  /// Adds bytes to the last event, where that is of the same side.
  mutating func append(_ bytes: [UInt8], isClient: Bool) {
    guard !bytes.isEmpty else { return }
    switch (events.last, isClient) {
    case (.client(let before), true): events[events.count - 1] = .client(before + bytes)
    case (.server(let before), false): events[events.count - 1] = .server(before + bytes)
    default: events.append(isClient ? .client(bytes) : .server(bytes))
    }
  }

  var text: String {
    var lines = comments.map { "# \($0)" }
    if !exportName.isEmpty { lines.append("@ \(exportName)") }
    for event in events {
      switch event {
      case .submit(let text): lines.append("> \(text)")
      case .outcome(let text): lines.append("< \(text)")
      case .client(let bytes): lines += Self.dump("C:", bytes)
      case .server(let bytes): lines += Self.dump("S:", bytes)
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }

  private static func dump(_ side: String, _ bytes: [UInt8]) -> [String] {
    var lines: [String] = []
    var previous: ArraySlice<UInt8> = []
    var repeats = 0
    func endRun() {
      if repeats > 0 { lines.append("\(side.dropLast())* \(repeats)") }
      repeats = 0
    }
    for start in stride(from: 0, to: bytes.count, by: 16) {
      let row = bytes[start..<min(start + 16, bytes.count)]
      if row == previous {
        repeats += 1
        continue
      }
      endRun()
      previous = row
      let digits = hexadecimal(row)
      let characters = row.map { (0x20...0x7e).contains($0) && $0 != 0x7c ? Character(UnicodeScalar($0)) : "." }
      lines.append("\(side) \(digits)\(String(repeating: " ", count: 48 - digits.count))|\(String(characters))|")
    }
    endRun()
    return lines
  }
}

/// Both machines, one after the other, as a recording drives them.
struct SessionPlayer: ~Copyable {
  /// A place for what cannot be copied, that can be empty.
  private final class Box {
    var value: MachineSession
    init(_ value: consuming MachineSession) { self.value = value }
  }

  private var handshake: HandshakeMachine
  private var session: Box?
  private var names: [Int: String] = [:]
  private var reported = 0
  private(set) var error: NBDError?

  init(exportName: String) throws { handshake = try HandshakeMachine(HandshakeRequest(exportName: exportName)) }

  var isTransmitting: Bool { session != nil }
  var export: Export? { session?.value.machine.export }
  var isComplete: Bool { session?.value.outcomes.allSatisfy { !$0.isEmpty } ?? false }
  var violation: ProtocolViolation? { session?.value.violation }

  mutating func output() -> [UInt8] {
    let bytes = handshake.takeOutput()
    return session == nil ? bytes : bytes + (session?.value.takeOutput() ?? [])
  }

  mutating func receive(_ bytes: some Collection<UInt8>) {
    if session != nil {
      session?.value.receive(bytes)
      return
    }
    do throws(NBDError) { try handshake.receive(Array(bytes).span.bytes) } catch { self.error = error }
    guard case .transmission(let export) = handshake.outcome else { return }
    var session = MachineSession(export, leftover: handshake.takeLeftover())
    session.drain()
    self.session = Box(session)
  }

  /// `read 0 16`, `write 0 16`, `status 0 4096`: a command, an offset and a length; flags after them.
  mutating func submit(_ text: String) throws {
    let ask = try Self.ask(text)
    if ask.command == .disconnect {
      session?.value.machine.disconnect()
      return
    }
    let number = session?.value.submit(ask)
    names[try #require(number ?? nil, "refused: \(text)")] = text
  }

  static func ask(_ text: String) throws -> Ask {
    let words = text.split(separator: " ")
    let commands: [Substring: Command] = [
      "read": .read, "write": .write, "zero": .writeZeroes, "trim": .trim, "cache": .cache, "flush": .flush,
      "status": .blockStatus, "disconnect": .disconnect,
    ]
    let command = try #require(words.first.flatMap { commands[$0] }, "\(text)")
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
    guard let export, let ask = try? Self.ask(text) else { return false }
    let operation = Operation.unsent(ask.command, flags: ask.flags, offset: ask.offset, length: ask.length)
    return ask.command == .disconnect || (try? export.check(operation)) != nil
  }

  /// The connection ends: every operation must then have ended once.
  @discardableResult
  mutating func end() -> Bool {
    session?.value.fail()
    let hasEndedOnce = session?.value.outcomes.allSatisfy { $0.count == 1 } ?? true
    #expect(hasEndedOnce)
    return hasEndedOnce
  }
}
