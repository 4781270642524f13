@testable import NBDProtocol

/// Any server and any request: the negotiation ends with an outcome or an error of the server's making, both within the limits,
/// and the same however the bytes were cut.
///
/// | input   | is                                                                                             |
/// |---------|------------------------------------------------------------------------------------------------|
/// | 1 byte  | the request: 2 bits goal, 2 bits name, extended headers, structured replies, 2 bits contexts   |
/// | 1 byte  | bit 0: the server's words are made (below) and not the rest of the input as it is; the rest: the size of the pieces that they are cut in, 0 none |
/// | 1 byte  | made words: handshake flags; then for each reply a byte of ``types``, a length and the payload |
func fuzzHandshake(_ input: FuzzInput) {
  var input = input
  let request = HandshakeRequest(choice: input.byte())
  let form = input.byte()
  let said = form & 1 == 0 ? input.all() : words(for: request, &input)
  let piece = Int(form >> 1)
  do {
    let whole = try replay(request, [said[...]], thenEnd: true)
    check(whole, request)
    guard piece > 0 else { return }
    let pieces = stride(from: 0, to: said.count, by: piece).map { said[$0..<min($0 + piece, said.count)] }
    if try replay(request, pieces, thenEnd: true) != whole { fault("in pieces of \(piece) bytes it ends otherwise") }
  } catch { fault("a request that may be sent is refused: \(error)") }
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
private func words(for request: HandshakeRequest, _ input: inout FuzzInput) -> [UInt8] {
  guard var machine = try? HandshakeMachine(request) else { return [] }
  var said = Server.greeting(UInt16(input.byte()))
  var latest = said
  var option: UInt32 = 0
  while true {
    do throws(NBDError) { try machine.receive(latest.span.bytes) } catch { return said }
    guard machine.outcome == nil, !input.isEmpty else { return said + input.all() }
    // Of what the client sent, the last option; the flags come in front of the first.
    var sent = machine.takeOutput()[...]
    if !sent.starts(with: ascii("IHAVEOPT")) { sent = sent.dropFirst(4) }
    while let header = OptionHeader(sent.span.bytes) {
      option = header.option.rawValue
      sent = sent.dropFirst(OptionHeader.size + Int(header.length))
    }
    let type = input.one(of: types)
    latest = Server.reply(option, type, input.bytes(Int(input.byte())))
    said += latest
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
