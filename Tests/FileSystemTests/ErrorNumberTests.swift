import Glibc
import NBDProtocol
import SystemPackage
import Testing

@testable import NBDMount

/// What programs see of errors: a number that means something to them, whatever the server says.
@Suite struct ErrorNumberTests {
  /// *Error values*, with the numbers written out; "EINVAL" for what is not in that table.
  private static let known: [(server: UInt32, system: Int32)] = [
    (1, EPERM), (5, EIO), (12, ENOMEM), (22, EINVAL), (28, ENOSPC), (75, EOVERFLOW), (95, EOPNOTSUPP), (108, EIO),
  ]

  @Test func theServersErrorsAreThisSystems() {
    for (server, system) in Self.known {
      let code = NBDErrorCode(rawValue: server)
      #expect(Outcome.failed(code).errno == system, "\(code)")
      #expect(NBDError.server(code).errno == system, "\(code)")
    }
  }

  /// Also those that mean something on this system, such as ENOSYS, after which the kernel never asks again, or ENOTCONN, its
  /// own word for a daemon that is dead; and those above 511, which are no errors to FUSE.
  @Test func allOthersAreInvalid() {
    let known = Set(Self.known.map(\.server))
    let others: [UInt32] = Array(2..<600) + [1 << 16, 1 << 31, .max]
    for server in others where !known.contains(server) {
      #expect(Outcome.failed(NBDErrorCode(rawValue: server)).errno == EINVAL, "error \(server)")
    }
  }

  @Test func whatTheServerDidNotSayHasANumberToo() {
    let errors: [(NBDError, Int32)] = [
      (.readOnly, EROFS), (.invalidArgument("x"), EINVAL), (.unsupported("x"), EOPNOTSUPP), (.abandoned, EINTR),
      (.violation(ProtocolViolation("x")), EIO), (.disconnected("x"), EIO), (.timedOut("x"), EIO),
      (.refused(option: .go, reply: .policy, message: ""), EIO), (.system(.noSuchFileOrDirectory, doing: "x"), EIO),
    ]
    for (error, number) in errors { #expect(error.errno == number, "\(error)") }
    #expect(Outcome.success.errno == 0 && Outcome.abandoned.errno == EINTR && Outcome.connectionLost.errno == EIO)
  }
}
