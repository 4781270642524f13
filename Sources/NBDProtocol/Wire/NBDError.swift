import SystemPackage

/// What can go wrong, by whose doing.
///
/// Local misuse and a peer's violation are different cases: the first never reaches the wire, the second
/// ends the connection it came on.
public enum NBDError: Error, Hashable, Sendable {
  /// The caller asked for something impossible: nothing was sent.
  case invalidArgument(String)
  /// The command or the flag was not advertised by the server, and has no emulation: nothing was sent.
  case unsupported(String)
  /// A mutating command on a read-only export: nothing was sent.
  case readOnly
  /// The server broke the protocol. The connection is closed.
  case violation(ProtocolViolation)
  /// The server answered an option with an error, or hung up on it.
  case refused(option: OptionType, reply: OptionReplyType, message: String)
  /// The server answered a command with an error. The connection goes on.
  case server(NBDErrorCode)
  /// TLS was not begun: the server is not who it should be, the two sides do not agree, or the files for it are no good.
  case insecure(String)
  /// The connection ended, or there is none any more.
  case disconnected(String)
  /// A deadline passed.
  case timedOut(String)
  /// The caller gave up waiting. The server may still carry out what was asked.
  case abandoned
  /// A system call failed; `doing` says what for.
  case system(Errno, doing: String)
}

/// A rule that the server broke: what the specification wants, what came instead, and where.
public struct ProtocolViolation: Error, Hashable, Sendable, CustomStringConvertible {
  /// One line for a person, with expected and found.
  public let description: String
  public init(_ description: String) { self.description = description }
}

extension NBDError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .invalidArgument(let text): text
    case .unsupported(let text): text
    case .readOnly: "the export is read-only"
    case .violation(let violation): "the server broke the NBD protocol: \(violation.description)"
    case .refused(let option, let reply, let message):
      "the server refused \(option) with \(reply)" + (message.isEmpty ? "" : ": \(printable(message))")
    case .server(let code): "the server answered \(code)"
    case .insecure(let reason): reason
    case .disconnected(let reason): reason
    case .timedOut(let what): "timed out: \(what)"
    case .abandoned: "the operation was abandoned"
    case .system(let errno, let doing): "\(doing): \(errno)"
    }
  }
}
