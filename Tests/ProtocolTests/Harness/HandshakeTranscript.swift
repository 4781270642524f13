// Handshakes that are replayed into a machine, and what came of them.

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

  init(_ failure: NBDError?, _ machine: borrowing HandshakeMachine) {
    self =
      if let failure { .failed(failure) } else if let outcome = machine.outcome {
        .finished(outcome)
      } else { .waiting(machine.awaited) }
  }
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
  let ending = Ending(failure, machine)
  return Transcript(sent: sent, ending: ending, leftover: machine.takeLeftover(), notes: machine.notes)
}

func replay(_ request: HandshakeRequest, _ bytes: [UInt8]) throws -> Transcript { try replay(request, [bytes[...]]) }
