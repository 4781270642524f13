import Glibc
import SystemPackage

/// Runs a ``HandshakeMachine`` over a channel, and begins TLS when it says so; blocking.
enum Negotiator {
  /// How a negotiation ended, and the notes and the bytes that it left.
  struct Result {
    var outcome: HandshakeMachine.Outcome
    /// Bytes of the transmission phase that came with the last reply.
    var leftover: [UInt8]
    /// What the server refused, for `--verbose`.
    var notes: [String]
  }

  /// Negotiates over `channel` until `deadline`.
  ///
  /// - Parameters:
  ///   - tls: nil where the conversation is not to be encrypted; it says whether that may be or must be.
  ///   - requiresTLS: it must be, whatever that says: the one before it was.
  /// - Throws: what the machine throws; ``NBDError/timedOut(_:)``; ``NBDError/disconnected(_:)`` with what the end of
  ///   the stream meant; ``NBDError/insecure(_:)``.
  static func run(
    _ wanted: HandshakeRequest, _ tls: TLSCredentials?, requiresTLS: Bool = false, over channel: inout Channel,
    until deadline: Deadline
  ) throws(NBDError) -> Result {
    var request = wanted
    request.tls = tls?.policy ?? .off
    if requiresTLS {
      guard tls != nil else { throw .insecure("the export is not encrypted any more") }
      request.tls = .require
    }
    var machine = try HandshakeMachine(request)
    do {
      while machine.outcome == nil {
        try send(machine.takeOutput(), over: channel, until: deadline)
        if machine.wantsTLS, let tls {
          try channel.startTLS(tls, until: deadline)
          machine.tlsEstablished()
        } else {
          try receive(into: &machine, over: channel, until: deadline)
        }
      }
      try send(machine.takeOutput(), over: channel, until: deadline)
    } catch {
      // The machine may have queued the soft end of the session. It is a courtesy: the first error is the news.
      try? send(machine.takeOutput(), over: channel, until: min(deadline, .after(milliseconds: 1000)))
      throw error
    }
    guard let outcome = machine.outcome else { throw .disconnected("the negotiation ended without a result") }
    let notes = (channel.protection.map { ["encrypted with \($0)"] } ?? []) + machine.notes
    return Result(outcome: outcome, leftover: machine.takeLeftover(), notes: notes)
  }

  private static func receive(
    into machine: inout HandshakeMachine, over channel: borrowing Channel, until deadline: Deadline
  ) throws(NBDError) {
    // Asked first: bytes that wait would be taken for ever, however late it is.
    guard !deadline.hasPassed else { throw .timedOut(tooLate) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    switch buffer.withUnsafeMutableBytes({ channel.receive(into: $0) }) {
    case .moved(let count): try machine.receive(buffer.span.extracting(0..<count).bytes)
    case .notNow: try wait(channel, POLLIN, deadline)
    case .shortOfMemory: usleep(Channel.memoryNap)
    case .ended, .broken(.connectionReset): throw machine.receivedEndOfStream()
    case .broken(let error): throw broken(error, channel)
    }
  }

  /// With TLS 1.3 a server says only here that it does not know us.
  private static func broken(_ error: Errno, _ channel: borrowing Channel) -> NBDError {
    channel.protection == nil ? .system(error, doing: "negotiating") : .insecure("TLS: \(channel.explained(error))")
  }

  /// Sends all of `bytes`, unless the server has hung up.
  private static func send(_ bytes: [UInt8], over channel: borrowing Channel, until deadline: Deadline) throws(NBDError) {
    var rest = bytes[...]
    while !rest.isEmpty || channel.hasUnsent {
      switch rest.withUnsafeBytes({ channel.send($0) }) {
      case .moved(let count): rest = rest.dropFirst(count)
      case .notNow: try wait(channel, POLLOUT, deadline)
      case .shortOfMemory:
        usleep(Channel.memoryNap)
        try wait(channel, POLLOUT, deadline)
      // The server hung up. Why, it may have said before: the receiving side finds out.
      case .ended, .broken(.brokenPipe), .broken(.connectionReset): return
      case .broken(let error): throw broken(error, channel)
      }
    }
  }

  private static func wait(_ channel: borrowing Channel, _ events: Int32, _ deadline: Deadline) throws(NBDError) {
    let descriptor = channel.descriptor
    let isReady = try doing("negotiating") { () throws(Errno) in
      try Syscall.poll(descriptor, for: events, until: deadline)
    }
    guard isReady else { throw .timedOut(tooLate) }
  }

  private static let tooLate = "the server did not finish the negotiation in time"
}
