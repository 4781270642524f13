import Glibc
import SystemPackage

/// Runs a ``HandshakeMachine`` over a connected socket, blocking.
enum Negotiator {
  /// How a negotiation ended, and the notes and the bytes that it left.
  struct Result {
    var outcome: HandshakeMachine.Outcome
    /// Bytes of the transmission phase that came with the last reply.
    var leftover: [UInt8]
    /// What the server refused, for `--verbose`.
    var notes: [String]
  }

  /// Negotiates on `socket`, which is non-blocking, until `deadline`.
  ///
  /// - Throws: what the machine throws; ``NBDError/timedOut(_:)``; ``NBDError/disconnected(_:)`` with what the end of
  ///   the stream meant.
  static func run(
    _ request: HandshakeRequest, on socket: borrowing OwnedDescriptor, until deadline: Deadline
  ) throws(NBDError) -> Result {
    var machine = try HandshakeMachine(request)
    let descriptor = socket.rawValue
    do {
      while machine.outcome == nil {
        try send(machine.takeOutput(), on: descriptor, until: deadline)
        try receive(into: &machine, on: descriptor, until: deadline)
      }
      try send(machine.takeOutput(), on: descriptor, until: deadline)
    } catch {
      // The machine may have queued the soft end of the session. It is a courtesy: the first error is the news.
      try? send(machine.takeOutput(), on: descriptor, until: min(deadline, .after(milliseconds: 1000)))
      throw error
    }
    guard let outcome = machine.outcome else { throw .disconnected("the negotiation ended without a result") }
    return Result(outcome: outcome, leftover: machine.takeLeftover(), notes: machine.notes)
  }

  private static func receive(
    into machine: inout HandshakeMachine, on socket: Int32, until deadline: Deadline
  ) throws(NBDError) {
    try wait(socket, POLLIN, deadline)
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT)) }
    let error = Errno(rawValue: errno)
    if count > 0 { return try machine.receive(buffer.span.extracting(0..<count).bytes) }
    if count == 0 || error == .connectionReset { throw machine.receivedEndOfStream() }
    if error != .wouldBlock && error != .interrupted { throw .system(error, doing: "negotiating") }
  }

  /// Sends all of `bytes`, unless the server has hung up.
  static func send(_ bytes: [UInt8], on socket: Int32, until deadline: Deadline) throws(NBDError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
      }
      let error = Errno(rawValue: errno)
      if count >= 0 {
        rest = rest.dropFirst(count)
      } else if error == .wouldBlock {
        try wait(socket, POLLOUT, deadline)
      } else if error == .brokenPipe || error == .connectionReset {
        // The server hung up. Why, it may have said before: the receiving side finds out.
        return
      } else if error != .interrupted {
        throw .system(error, doing: "negotiating")
      }
    }
  }

  private static func wait(_ socket: Int32, _ events: Int32, _ deadline: Deadline) throws(NBDError) {
    // Asked first: bytes that wait would be taken for ever, however late it is.
    guard !deadline.hasPassed else { throw .timedOut(tooLate) }
    let isReady = try doing("negotiating") { () throws(Errno) in
      try Syscall.poll(socket, for: events, until: deadline)
    }
    guard isReady else { throw .timedOut(tooLate) }
  }

  private static let tooLate = "the server did not finish the negotiation in time"
}
