import Testing

@testable import NBDProtocol

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
