import Testing

@testable import NBDProtocol

/// One line of a scripted handshake.
enum Line {
  /// What the server says before it waits. The client has to be quiet until the last byte of it.
  case server([UInt8])
  /// All that the client answers.
  case client([UInt8])

  var serverBytes: [UInt8] {
    if case .server(let bytes) = self { bytes } else { [] }
  }
}

/// How a replayed handshake ended.
enum Ending: Equatable {
  case finished(HandshakeMachine.Outcome)
  case failed(NBDError)
  case waiting(String)
}

/// Everything that a machine did, to compare one replay with another.
struct Transcript: Equatable {
  var sent: [UInt8] = []
  var ending: Ending
  var leftover: [UInt8] = []
  var notes: [String] = []

  var export: Export? {
    switch ending {
    case .finished(.transmission(let export)), .finished(.information(let export)): export
    default: nil
    }
  }

  var error: NBDError? {
    if case .failed(let error) = ending { error } else { nil }
  }

  /// The message of the violation that ended the handshake.
  var violation: String? {
    if case .violation(let violation) = error { violation.description } else { nil }
  }
}

/// A fresh machine that is given `pieces` one after the other.
func replay(_ request: HandshakeRequest, _ pieces: [ArraySlice<UInt8>], thenEnd: Bool = false) throws -> Transcript {
  var machine = try HandshakeMachine(request)
  var sent: [UInt8] = []
  var failure: NBDError?
  for piece in pieces where failure == nil {
    do throws(NBDError) { try machine.receive(Array(piece).span.bytes) } catch { failure = error }
    sent += machine.takeOutput()
  }
  if thenEnd && failure == nil && machine.outcome == nil {
    failure = machine.receivedEndOfStream()
    sent += machine.takeOutput()
  }
  let ending: Ending =
    if let failure { .failed(failure) } else if let outcome = machine.outcome {
      .finished(outcome)
    } else { .waiting(machine.awaited) }
  return Transcript(sent: sent, ending: ending, leftover: machine.takeLeftover(), notes: machine.notes)
}

func replay(_ request: HandshakeRequest, _ bytes: [UInt8]) throws -> Transcript { try replay(request, [bytes[...]]) }

/// Plays a scripted handshake and returns what came of it, after checking that
/// - the client says exactly its lines, and each only after the whole of the server's line before it;
/// - the server's bytes whole, one at a time, and cut in two at every offset give the same transcript;
/// - the server's bytes cut short at every offset give an error, never an outcome and never a wait.
@discardableResult
func converse(
  _ request: HandshakeRequest, _ lines: [Line], sourceLocation: SourceLocation = #_sourceLocation
) throws -> Transcript {
  try checkTurns(request, lines, sourceLocation)

  let server = lines.flatMap(\.serverBytes)
  let whole = try replay(request, server)
  let single = try replay(request, server.indices.map { server[$0...$0] })
  #expect(single == whole, "one byte at a time", sourceLocation: sourceLocation)
  for cut in server.indices {
    let halves = try replay(request, [server[..<cut], server[cut...]])
    #expect(halves == whole, "cut at \(cut)", sourceLocation: sourceLocation)

    let short = try replay(request, [server[..<cut]], thenEnd: true)
    #expect(short.error != nil && short.export == nil, "ended at \(cut)", sourceLocation: sourceLocation)
  }
  return whole
}

private func checkTurns(_ request: HandshakeRequest, _ lines: [Line], _ sourceLocation: SourceLocation) throws {
  var machine = try HandshakeMachine(request)
  var said: [UInt8] = machine.takeOutput()
  for (number, line) in lines.enumerated() {
    switch line {
    case .server(let bytes):
      #expect(said == [], "unexpected words before line \(number)", sourceLocation: sourceLocation)
      do throws(NBDError) {
        try machine.receive(Array(bytes.dropLast()).span.bytes)
        #expect(machine.takeOutput() == [], "spoke within line \(number)", sourceLocation: sourceLocation)
        try machine.receive(Array(bytes.suffix(1)).span.bytes)
      } catch {
        // The transcript has the error; the words that went with it are checked by the next line.
      }
      said = machine.takeOutput()
    case .client(let bytes):
      #expect(said == bytes, "line \(number)", sourceLocation: sourceLocation)
      said = []
    }
  }
  #expect(said == [], "unexpected words at the end", sourceLocation: sourceLocation)
}

// MARK: Words, built here independently of the library's own encoders

func be16(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
func be32(_ value: UInt32) -> [UInt8] { be16(UInt16(value >> 16)) + be16(UInt16(value & 0xffff)) }
func be64(_ value: UInt64) -> [UInt8] { be32(UInt32(value >> 32)) + be32(UInt32(value & 0xffff_ffff)) }
func join(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { $0 } }
func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }
func counted(_ text: String) -> [UInt8] { be32(UInt32(text.utf8.count)) + ascii(text) }
func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

/// What a server says.
enum Server {
  static func greeting(_ flags: UInt16 = 3) -> [UInt8] { join(ascii("NBDMAGICIHAVEOPT"), be16(flags)) }

  static func oldstyle(size: UInt64, flags: UInt32) -> [UInt8] {
    join(ascii("NBDMAGIC"), be64(0x0000_4202_8186_1253), be64(size), be32(flags), zeros(124))
  }

  static func reply(_ option: UInt32, _ type: UInt32, _ payload: [UInt8] = []) -> [UInt8] {
    join(be64(0x3e889045565a9), be32(option), be32(type), be32(UInt32(payload.count)), payload)
  }

  static func ack(_ option: UInt32) -> [UInt8] { reply(option, 1) }

  static func error(_ option: UInt32, _ number: UInt32, _ text: String = "") -> [UInt8] {
    reply(option, 0x8000_0000 | number, ascii(text))
  }

  static func export(_ name: String, _ description: String = "") -> [UInt8] {
    reply(3, 2, counted(name) + ascii(description))
  }

  static func context(_ option: UInt32, id: UInt32, _ name: String) -> [UInt8] {
    reply(option, 4, be32(id) + ascii(name))
  }

  static func info(_ type: UInt16, _ payload: [UInt8], option: UInt32 = 7) -> [UInt8] {
    reply(option, 3, be16(type) + payload)
  }

  static func infoExport(size: UInt64, flags: UInt16, option: UInt32 = 7) -> [UInt8] {
    info(0, be64(size) + be16(flags), option: option)
  }

  static func infoSizes(_ minimum: UInt32, _ preferred: UInt32, _ maximum: UInt32) -> [UInt8] {
    info(3, join(be32(minimum), be32(preferred), be32(maximum)))
  }
}

/// What the client is expected to say.
enum Client {
  static func flags(_ flags: UInt32) -> [UInt8] { be32(flags) }

  static func option(_ number: UInt32, _ data: [UInt8] = []) -> [UInt8] {
    join(ascii("IHAVEOPT"), be32(number), be32(UInt32(data.count)), data)
  }

  static func go(_ name: String, option number: UInt32 = 7) -> [UInt8] {
    option(number, join(counted(name), be16(3), be16(3), be16(1), be16(2)))
  }

  static func contexts(_ number: UInt32, _ name: String, _ queries: [String]) -> [UInt8] {
    option(number, join(counted(name), be32(UInt32(queries.count)), queries.flatMap(counted)))
  }

  static let abort = option(2)
  static let disconnect = join(be32(0x2560_9513), be16(0), be16(2), be64(0), be64(0), be32(0))
  static let disconnectExtended = join(be32(0x21e4_1c71), be16(0), be16(2), be64(0), be64(0), be64(0))
}

extension HandshakeRequest {
  /// Goes straight from the greeting to the export, for tests of that step alone.
  static func direct(_ name: String = "disk", goal: Goal = .transmission) -> HandshakeRequest {
    HandshakeRequest(
      exportName: name, goal: goal, wantsExtendedHeaders: false, wantsStructuredReplies: false, contexts: [])
  }
}

/// A handshake that is nothing but `NBD_OPT_GO` and these replies to it, and the client's `goodbye`.
func go(
  _ replies: [UInt8]..., goodbye: [Line] = [], sourceLocation: SourceLocation = #_sourceLocation
) throws -> Transcript {
  let asked = Client.flags(3) + Client.go("disk")
  let lines: [Line] = [.server(Server.greeting()), .client(asked), .server(replies.flatMap { $0 })]
  return try converse(.direct(), lines + goodbye, sourceLocation: sourceLocation)
}
