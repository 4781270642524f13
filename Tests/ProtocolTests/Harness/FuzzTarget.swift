/// What the fuzzer gives its bytes to. Each takes any bytes, and faults where the library breaks a promise; that nothing traps,
/// hangs or touches memory that is not its own is the process's to see.
///
///     bytes ──> FuzzInput ──> the server's words, the caller's operations ──> a machine ──> checks
///
/// Scripts/fuzz.sh runs them under libFuzzer and AddressSanitizer, and FuzzTests runs each over its seeds, over the inputs of
/// Fixtures/corpus, and over some mutations of them.
enum FuzzTarget: String, CaseIterable {
  /// Each layout of a message (Wire).
  case wire
  /// ``NBDURI``.
  case uri
  /// ``HandshakeMachine``, for any request.
  case handshake
  /// Recorded sessions, changed, cut and spliced: both machines, and the server's bytes as they come.
  case sessions
  /// ``TransmissionMachine`` with operations in flight, and a server that mostly answers what it was asked.
  case replies

  func run(_ bytes: [UInt8]) {
    switch self {
    case .wire: fuzzWire(FuzzInput(bytes))
    case .uri: fuzzURI(bytes)
    case .handshake: fuzzHandshake(FuzzInput(bytes))
    case .sessions: fuzzSession(FuzzInput(bytes))
    case .replies: fuzzReplies(FuzzInput(bytes))
    }
  }

  /// Inputs to begin with: what the other fixtures hold, as this target reads it, and those of Fixtures/corpus.
  var seeds: [FuzzSeed] {
    let derived =
      switch self {
      case .uri: FuzzSeed.uris
      case .handshake: FuzzSeed.handshakes
      case .sessions: FuzzSeed.sessions
      case .wire, .replies: [] as [FuzzSeed]
      }
    return derived + FuzzSeed.corpus(of: self)
  }
}
