import Testing

@testable import NBDProtocol

/// One exchange: submits `asks`, lets `reply` make the server's bytes of the requests, and returns what came of it, after checking
/// that it is the same however the bytes are cut (in two at some offsets, or at each with `everyCut`), and whether or not reads have buffers, and that each operation ends once.
@discardableResult
func exchange(
  _ export: Export, _ asks: [Ask], everyCut: Bool = false, sourceLocation: SourceLocation = #_sourceLocation,
  reply: ([SeenRequest]) -> [UInt8]
) -> SessionResult {
  func run(_ isBufferless: Bool, _ cut: ([UInt8]) -> [ArraySlice<UInt8>]) -> (SessionResult, Int) {
    var session = MachineSession(export, isBufferless: isBufferless)
    for ask in asks { session.submit(ask) }
    let bytes = reply(session.requests())
    for piece in cut(bytes) { session.receive(piece) }
    let result = session.result
    session.fail()
    for (number, outcomes) in session.outcomes.enumerated() {
      #expect(outcomes.count == 1, "operation \(number) ended as \(outcomes)", sourceLocation: sourceLocation)
    }
    return (result, bytes.count)
  }

  let (whole, count) = run(false) { [$0[...]] }
  for isBufferless in [false, true] {
    func same(_ what: String, _ cut: ([UInt8]) -> [ArraySlice<UInt8>]) {
      let (other, _) = run(isBufferless, cut)
      #expect(other == whole, "\(what), bufferless \(isBufferless)", sourceLocation: sourceLocation)
    }
    same("whole") { [$0[...]] }
    // Byte by byte, or where that would take long, in many pieces of an odd size.
    let step = count > 8192 ? 1009 : 1
    same("in pieces of \(step)") { bytes in
      stride(from: 0, to: bytes.count, by: step).map { bytes[$0..<min($0 + step, bytes.count)] }
    }
    for offset in stride(from: 1, to: count, by: everyCut ? max(1, count / 400) : max(1, count / 7)) {
      same("cut at \(offset)") { [$0[..<offset], $0[offset...]] }
    }
  }
  return whole
}
