import Testing

@testable import NBDProtocol

extension HandshakeRecording: CustomTestStringConvertible { var testDescription: String { name } }

@Suite struct HandshakeRecordingTests {
  @Test func theRecordingsAreThere() { #expect(HandshakeRecording.all.count == 15) }

  @Test(arguments: HandshakeRecording.all) func aRecordedServerIsUnderstood(recording: HandshakeRecording) throws {
    let transcript = try converse(recording.request, recording.lines)
    #expect(Self.summary(transcript.ending) == recording.end)
  }

  // RB-011, RB-028 and whatever else one wrong byte can amount to.
  @Test(arguments: HandshakeRecording.all) func oneWrongByteMeansTheSameHoweverItComes(
    recording: HandshakeRecording
  ) throws {
    let said = recording.lines.flatMap(\.serverBytes)
    let rightly = try replay(recording.request, said)
    for offset in said.indices {
      for value in [0, 0x80, 0xff] as [UInt8] where value != said[offset] {
        var wrong = said
        wrong[offset] = value
        let transcript = try replay(recording.request, [wrong[...]], thenEnd: true)
        let halves = try replay(recording.request, [wrong[..<offset], wrong[offset...]], thenEnd: true)
        #expect(halves == transcript, "\(value) at \(offset)")
        // The client says no more than it would have, but for a fallback to another option or a goodbye.
        #expect(transcript.sent.count <= rightly.sent.count + 64, "\(value) at \(offset)")
      }
    }
  }

  private static func summary(_ ending: Ending) -> String {
    switch ending {
    case .finished(.transmission(let export)): "transmission \(summary(export))"
    case .finished(.information(let export)): "information \(summary(export))"
    case .finished(.exports(let exports)):
      "exports " + exports.map { "\"\($0.name)\" \($0.description ?? "-")" }.joined(separator: ", ")
    case .finished(.contexts(let contexts)): "contexts " + contexts.map(\.name).joined(separator: ", ")
    case .failed(let error): "error \(error)"
    case .waiting(let awaited): "waiting for \(awaited)"
    }
  }

  private static func summary(_ export: Export) -> String {
    let sizes = export.blockSizes
    let contexts = export.contexts.map { "\($0.id)=\($0.name)" }
    return [
      export.handshake.rawValue, "\(export.replies)", "size \(export.size)", "flags \(hex(export.flags.rawValue))",
      "blocks \(sizes.minimum)/\(sizes.preferred)/\(sizes.maximumPayload)\(sizes.isAdvertised ? "" : " assumed")",
      "contexts \(contexts)", "name \(export.canonicalName ?? "-")", "description \(export.description ?? "-")",
    ].joined(separator: ", ")
  }
}
