@testable import NBDProtocol

/// Recorded sessions, changed, cut and spliced: each operation ends once, nothing is kept that could have been parsed, and what
/// comes of it is the same however the server's bytes were cut, and whether or not reads bring their own buffers.
///
/// The input is one byte, the size of the pieces that the server's bytes are cut in (0 none), and a ``SessionScript``.
func fuzzSession(_ input: FuzzInput) {
  var input = input
  let piece = Int(input.byte())
  let script = SessionScript(&input)
  let whole = play(script, piece: 0, isBufferless: false)
  for isBufferless in [false, true] where piece > 0 || isBufferless {
    let other = play(script, piece: piece, isBufferless: isBufferless)
    if other != whole {
      fault("in pieces of \(piece) bytes, \(isBufferless ? "without" : "with") buffers: \(text(other)), and whole: \(text(whole))")
    }
  }
}

/// What a session came to, the negotiation included.
private struct SessionEnd: Equatable {
  var error: NBDError?
  var result: SessionResult?
}

private func text(_ end: SessionEnd?) -> String { end.map { "\($0)" } ?? "nothing" }

private func play(_ script: SessionScript, piece: Int, isBufferless: Bool) -> SessionEnd? {
  guard var player = try? SessionPlayer(exportName: "", isBufferless: isBufferless) else { return nil }
  for event in script.events {
    switch event {
    case .submit(let ask): if player.isTransmitting, player.violation == nil, player.canDo(ask) { player.submit(ask) }
    case .client(let most): _ = player.output(most)
    case .server(let bytes):
      let size = piece == 0 ? max(bytes.count, 1) : piece
      for start in stride(from: 0, to: bytes.count, by: size) {
        player.receive(bytes[start..<min(start + size, bytes.count)])
      }
      if player.isStuck { fault("what has come could have been parsed") }
    }
  }
  let end = SessionEnd(error: player.error, result: player.result)
  if let error = player.error { check(error) }
  if let violation = player.violation { check(.violation(violation)) }
  player.end()
  return end
}

/// A session as the fuzzer changes it: events, each a byte that says what it is, and more.
///
/// | byte | event                                                                                             |
/// |------|---------------------------------------------------------------------------------------------------|
/// | `>`  | an operation: command 1, flags 2, offset 4, length 2 bytes                                        |
/// | `C`  | the client sends at most so many bytes: 2 bytes, 0 is all                                         |
/// | `S`  | the server says something: a length of 2 bytes, and the bytes                                     |
/// | else | the server says that byte                                                                         |
struct SessionScript {
  enum Event {
    case submit(Ask)
    case client(Int)
    case server([UInt8])
  }

  /// Operations in one script, which bounds the memory that their callers have.
  private static let most = 64

  private(set) var events: [Event] = []

  init(_ input: inout FuzzInput) {
    var operations = 0
    while !input.isEmpty {
      switch input.byte() {
      case UInt8(ascii: ">"):
        operations += 1
        guard let ask = Ask(&input), operations <= Self.most else { continue }
        events.append(.submit(ask))
      case UInt8(ascii: "C"):
        let count = Int(input.pair())
        events.append(.client(count == 0 ? .max : count))
      case UInt8(ascii: "S"): events.append(.server(input.bytes(Int(input.pair()))))
      case let byte: events.append(.server([byte]))
      }
    }
  }

  /// A recording's operations, and its server's bytes.
  init(_ recording: SessionRecording) {
    events = recording.events.compactMap { event in
      switch event {
      case .submit(let text): (try? SessionPlayer.ask(text)).map { .submit($0) }
      case .client: .client(.max)
      case .server(let bytes): .server(bytes)
      case .outcome: nil
      }
    }
  }

  /// The input that this is read from, whole.
  var bytes: [UInt8] {
    var bytes: [UInt8] = [0]
    for event in events {
      switch event {
      case .submit(let ask): bytes += [UInt8(ascii: ">")] + ask.bytes
      case .client(let most): bytes += [UInt8(ascii: "C")] + be16(most == .max ? 0 : UInt16(most))
      case .server(let said): bytes += [UInt8(ascii: "S")] + be16(UInt16(said.count)) + said
      }
    }
    return bytes
  }
}

extension Ask {
  /// Command 1, flags 2, offset 4, length 2 bytes. Nil where there is no such command.
  init?(_ input: inout FuzzInput) {
    let command = Command(rawValue: UInt16(input.byte()))
    let flags = CommandFlags(rawValue: input.pair())
    let offset = UInt64(input.word())
    let length = UInt64(input.pair())
    guard let command else { return nil }
    self.init(
      command: command, flags: flags, offset: offset, length: length,
      payload: command == .write ? pattern(Int(length), from: offset) : [])
  }

  fileprivate var bytes: [UInt8] {
    [UInt8(truncatingIfNeeded: command.rawValue)] + be16(flags.rawValue) + be32(UInt32(truncatingIfNeeded: offset))
      + be16(UInt16(truncatingIfNeeded: length))
  }
}
