@testable import NBDProtocol

/// Any server and any request: the negotiation ends with an outcome or an error of the server's making, both within the limits,
/// and the same however the bytes were cut; and what is said before TLS changes nothing of what follows it.
///
/// | input   | is                                                                                             |
/// |---------|------------------------------------------------------------------------------------------------|
/// | 1 byte  | the request: 2 bits goal, 2 bits name, extended headers, structured replies, 2 bits contexts   |
/// | 1 byte  | bit 0: the server's words are made (below) and not those of the input as they are; 2 bits: ``policies``; the rest: the size of the pieces, 0 none |
/// | 2 bytes | words as they are, with a policy that asks for TLS: how many of them come before TLS            |
/// | 1 byte  | made words: handshake flags; then for each reply a byte of ``types``, a length and the payload; where TLS begins, a byte: its highest bit says that somebody puts in as many bytes as the rest says, and one |
///
/// Returns whether TLS began.
@discardableResult
func fuzzHandshake(_ input: FuzzInput) -> Bool {
  var input = input
  var request = HandshakeRequest(choice: input.byte())
  let form = input.byte()
  request.tls = policies[Int(form >> 1 & 3)]
  let said = form & 1 == 0 ? Speech(of: &input, request.tls) : words(for: request, &input)
  let piece = Int(form >> 3)
  do {
    let whole = try replay(request, said, pieces: 0)
    check(whole.rest, request)
    try check(whole, said, request)
    if piece > 0, try replay(request, said, pieces: piece) != whole { fault("in pieces of \(piece) bytes it ends otherwise") }
    return whole.isEncrypted
  } catch { fault("a request that may be sent is refused: \(error)") }
  return false
}

private let policies: [TLSPolicy] = [.off, .allow, .require, .require]

/// What a server says, or somebody on the way to it.
private struct Speech {
  /// What comes before TLS.
  var clear: [UInt8] = []
  /// Inside TLS, or the rest where it does not begin.
  var secret: [UInt8] = []

  init() {}

  /// The rest of the input as it is.
  init(of input: inout FuzzInput, _ policy: TLSPolicy) {
    if policy != .off { clear = input.bytes(Int(input.pair())) }
    secret = input.all()
  }
}

/// A negotiation of which a part may be inside TLS.
private struct Replayed: Equatable {
  var sentInTheClear: [UInt8]
  var isEncrypted = false
  /// What was sent after that, or all, and how it ended.
  var rest: Transcript
}

/// - Parameter size: of the pieces, each of which the machine gets by itself; 0: all at once.
private func replay(_ request: HandshakeRequest, _ said: Speech, pieces size: Int) throws -> Replayed {
  var machine = try HandshakeMachine(request)
  var sent: [UInt8] = []
  var failure: NBDError?
  func say(_ bytes: [UInt8]) {
    for start in stride(from: 0, to: bytes.count, by: size == 0 ? max(bytes.count, 1) : size) where failure == nil {
      let piece = Array(size == 0 ? bytes[start...] : bytes[start...].prefix(size))
      do throws(NBDError) { try machine.receive(piece.span.bytes) } catch { failure = error }
      sent += machine.takeOutput()
    }
  }
  say(said.clear)
  let sentInTheClear = sent
  let isEncrypted = failure == nil && machine.wantsTLS
  if isEncrypted {
    machine.tlsEstablished()
    sent = machine.takeOutput()
  }
  say(said.secret)
  if failure == nil, machine.outcome == nil {
    failure = machine.receivedEndOfStream()
    sent += machine.takeOutput()
  }
  let ending = Ending(failure, machine)
  return Replayed(
    sentInTheClear: sentInTheClear, isEncrypted: isEncrypted,
    rest: Transcript(sent: sent, ending: ending, leftover: machine.takeLeftover(), notes: machine.notes))
}

/// The rules of TLS.
private func check(_ result: Replayed, _ said: Speech, _ request: HandshakeRequest) throws {
  if request.tls == .off, result.isEncrypted { fault("TLS began, which nobody wanted") }
  if let export = result.rest.export, export.isEncrypted != result.isEncrypted {
    fault("\(export), and TLS: \(result.isEncrypted)")
  }
  if request.tls == .require, !result.isEncrypted {
    if case .finished(let outcome) = result.rest.ending { fault("without TLS it ended with \(outcome)") }
    // The flags, one option without data, and the goodbye.
    if result.rest.sent.count > 36 { fault("\(result.rest.sent.count) bytes were sent in the clear") }
  }
  guard result.isEncrypted else { return }
  if result.sentInTheClear.count != 20 { fault("\(result.sentInTheClear.count) bytes were sent before TLS") }
  // The shortest way there, with the flags of this one: they come behind the two magic numbers.
  var shortest = said
  shortest.clear = Server.greeting() + Server.ack(5)
  shortest.clear.replaceSubrange(16..<18, with: said.clear[16..<18])
  if try replay(request, shortest, pieces: 0) != result { fault("what was said before TLS is not forgotten") }
}

extension HandshakeRequest {
  /// The request that a byte stands for: see ``fuzzHandshake(_:)``.
  init(choice: UInt8) {
    self.init(
      exportName: Self.names[Int(choice >> 2 & 3)], goal: Self.goals[Int(choice & 3)],
      wantsExtendedHeaders: choice & 16 == 0, wantsStructuredReplies: choice & 32 == 0,
      contexts: Self.contexts[Int(choice >> 6 ^ 1)])
  }

  private static let goals: [Goal] = [.transmission, .information, .list, .listContexts(queries: ["base:", "x:y"])]
  private static let names = ["", "disk", "é/\u{1b}[", String(repeating: "x", count: Limits.string)]
  private static let contexts = [[], [MetadataContext.baseAllocation], ["base:allocation", "x:y"], ["a:b", "a:b", "c:"]]
}

/// Types of replies, the final ones among them: a server that sends others only gets nowhere.
private let types: [UInt32] = [
  1, 2, 3, 4, 0x8000_0001, 0x8000_0002, 0x8000_0005, 0x8000_0006, 0x8000_0007, 0x8000_0009, 5, 0xffff_ffff,
]

/// Replies with the right magic to the right option, whatever else is in them.
private func words(for request: HandshakeRequest, _ input: inout FuzzInput) -> Speech {
  var said = Speech()
  guard var machine = try? HandshakeMachine(request) else { return said }
  var latest = Server.greeting(UInt16(input.byte()))
  var option: UInt32 = 0
  var isEncrypted = false
  func say(_ bytes: [UInt8]) {
    if isEncrypted { said.secret += bytes } else { said.clear += bytes }
  }
  while true {
    say(latest)
    do throws(NBDError) { try machine.receive(latest.span.bytes) } catch { return said }
    if machine.wantsTLS {
      let inserted = input.byte()
      if inserted & 0x80 != 0 { say(input.bytes(Int(inserted & 0x7f) + 1)) }
      machine.tlsEstablished()
      isEncrypted = true
    }
    guard machine.outcome == nil, !input.isEmpty else {
      say(input.all())
      return said
    }
    // Of what the client sent, the last option; the flags come in front of the first.
    var sent = machine.takeOutput()[...]
    if !sent.starts(with: ascii("IHAVEOPT")) { sent = sent.dropFirst(4) }
    while let header = OptionHeader(sent.span.bytes) {
      option = header.option.rawValue
      sent = sent.dropFirst(OptionHeader.size + Int(header.length))
    }
    let type = input.one(of: types)
    latest = Server.reply(option, type, input.bytes(Int(input.byte())))
  }
}

private func check(_ transcript: Transcript, _ request: HandshakeRequest) {
  switch transcript.ending {
  case .waiting(let awaited): fault("the stream ended, and it waits for \(awaited)")
  case .failed(let error): check(error)
  case .finished(.transmission(let export)): check(export, request)
  case .finished(.information(let export)): check(export, request)
  case .finished(.exports(let exports)):
    if exports.count > Limits.repliesToOneOption { fault("\(exports.count) exports") }
  case .finished(.contexts(let contexts)):
    if contexts.count > Limits.repliesToOneOption || contexts.contains(where: { $0.id != 0 }) { fault("\(contexts)") }
  }
  // Flags, five options with a name of 4096 bytes and some contexts each, and a goodbye.
  if transcript.sent.count > 8 * Limits.string { fault("\(transcript.sent.count) bytes were sent") }
  if transcript.notes.count > 32 || !transcript.notes.allSatisfy(isPrintable) { fault("notes: \(transcript.notes)") }
}

/// A peer's doing, in words for a person.
func check(_ error: NBDError) {
  switch error {
  case .violation, .refused, .disconnected, .unsupported: break
  case .invalidArgument, .readOnly, .server, .insecure, .timedOut, .abandoned, .system:
    fault("not the server's doing: \(error)")
  }
  let text = error.description
  if text.isEmpty || !isPrintable(text) || text.utf8.count > 128 * 1024 { fault("no message for a person: \(text)") }
}

private func check(_ export: Export, _ request: HandshakeRequest) {
  let sizes = export.blockSizes
  if export.size > Limits.exportSize { fault("size \(export.size)") }
  if sizes.minimum.nonzeroBitCount != 1 || sizes.minimum > Limits.minimumBlockSize || sizes.preferred.nonzeroBitCount != 1
    || sizes.preferred < max(512, sizes.minimum) || sizes.maximumPayload < sizes.preferred
  {
    fault("block sizes \(sizes)")
  }
  if export.contexts.count > Limits.metadataContexts || Set(export.contexts.map(\.id)).count != export.contexts.count {
    fault("contexts \(export.contexts)")
  }
  if export.replies == .simple, !export.contexts.isEmpty { fault("contexts without chunks") }
  if export.replies > .simple, !request.wantsStructuredReplies, !request.wantsExtendedHeaders { fault("\(export.replies) unasked") }
  if export.flags.contains(.sendDF), export.replies == .simple { fault("NBD_FLAG_SEND_DF with simple replies") }
  if export.flags.contains(.sendFastZero), !export.flags.contains(.sendWriteZeroes) { fault("flags \(export.flags)") }
}
