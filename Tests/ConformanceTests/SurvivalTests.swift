import Glibc
import NBDProtocol
import SystemPackage
import Testing

@testable import NBDConformance

/// The run goes on, and ends, whatever a server does.
@Suite(.serialized) struct SurvivalTests {
  /// A server that does the same to every client.
  private final class Brute: Target {
    let act: @Sendable (Int32) -> Void
    var connections = 0
    /// Connections that it takes.
    let most: Int
    let tls: TLSCredentials?

    init(most: Int = .max, tls: TLSCredentials? = nil, _ act: @escaping @Sendable (Int32) -> Void) {
      self.most = most
      self.tls = tls
      self.act = act
    }

    var name: String { "brute" }
    var hasServerForEachConnection: Bool { false }
    var tcpPort: UInt16? { nil }
    func terminate() -> Bool { false }
    var isStartedHere: Bool { false }
    func takeCrash(within milliseconds: Int) -> String? { nil }
    func shutDown() {}

    func connect(deadline: Deadline) throws(NBDError) -> OwnedDescriptor {
      connections += 1
      guard connections <= most else { throw .disconnected("refused") }
      var ends: [Int32] = [-1, -1]
      guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
        throw .system(Errno(rawValue: errno), doing: "socketpair")
      }
      let (ours, theirs) = (ends[0], ends[1])
      _ = fcntl(theirs, F_SETFL, O_NONBLOCK)
      try POSIXThread.startDetached("a brute") { [act] in
        act(ours)
        close(ours)
      }
      return OwnedDescriptor(theirs)
    }
  }

  private static func say(_ socket: Int32, _ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) } == bytes.count
  }

  /// Waits until the client has gone.
  private static func listen(_ socket: Int32) {
    var bytes = [UInt8](repeating: 0, count: 4096)
    while recv(socket, &bytes, bytes.count, 0) > 0 {}
  }

  /// Runs on a thread of its own, as it blocks.
  ///
  /// - Parameter limit: milliseconds for one check in all.
  private func verdicts(_ ids: [String], limit: Int = 2000, _ make: @escaping @Sendable () throws -> any Target) async -> [String: Result] {
    await withCheckedContinuation { continuation in
      _ = try? POSIXThread.startDetached("a test") {
        var settings = Settings()
        settings.timeout = 100
        settings.quiet = 5
        settings.idle = 5
        settings.grace = 5
        settings.attempts = 2
        settings.checkLimit = limit
        let checks = Suite.all.filter { ids.contains($0.id) }
        let results: [Result]
        do { results = try Runner(make(), settings: settings, writes: true).run(checks) } catch {
          results = [Result(id: "error", verdict: .fail, found: "\(error)")]
        }
        continuation.resume(returning: Dictionary(uniqueKeysWithValues: results.map { ($0.id, $0) }))
      }
    }
  }

  @Test func aServerThatSaysNothing() async {
    let results = await verdicts(["HS-001", "TX-030"]) { Brute { Self.listen($0) } }
    #expect(results["HS-001"]?.verdict == .fail)
    #expect(results["HS-001"]?.found.contains("stopped accepting connections") ?? false)
  }

  @Test func aServerThatHangsUpAtOnce() async {
    let results = await verdicts(["HS-001", "HS-002"]) { Brute { _ in } }
    #expect(results["HS-001"]?.verdict == .fail)
  }

  @Test func aServerThatTalksWithoutEnd() async {
    let results = await verdicts(["HS-003", "OPT-001", "OPT-019", "TX-030"]) {
      Brute { socket in
        let piece = [UInt8](repeating: 0x41, count: 65536)
        while Self.say(socket, piece) {}
      }
    }
    #expect(results["HS-003"]?.verdict == .fail)
    #expect(results["OPT-019"]?.verdict == .fail || results["OPT-019"]?.verdict == .skip)
  }

  @Test func aListWithoutEnd() async {
    // Twenty thousand replies take their time on a busy machine.
    let results = await verdicts(["OPT-019"], limit: 30_000) {
      Brute { socket in
        guard Self.say(socket, ascii("NBDMAGICIHAVEOPT") + [0, 3]) else { return }
        let reply = OutgoingReply(option: 3, type: 2, data: [0, 0, 0, 1, 97]).bytes
        while Self.say(socket, reply) {}
      }
    }
    #expect(results["OPT-019"]?.verdict == .fail)
    #expect(results["OPT-019"]?.found.contains("no end") ?? false)
  }

  @Test func aReplyOfFourGibibytes() async {
    let results = await verdicts(["OPT-019"]) {
      Brute { socket in
        guard Self.say(socket, ascii("NBDMAGICIHAVEOPT") + [0, 3]) else { return }
        _ = Self.say(socket, be(0x0003_e889_0455_65a9 as UInt64) + be(UInt32(3)) + be(UInt32(2)) + be(UInt32.max))
        Self.listen(socket)
      }
    }
    #expect(results["OPT-019"]?.verdict == .fail)
  }

  @Test func aServerThatDiesIsNamedWithTheCheckThatItDidNotSurvive() async {
    // The survey makes eight connections, the first check the ninth.
    let results = await verdicts(["HS-001", "HS-002", "TX-030"]) {
      Brute(most: 9) { socket in _ = Self.say(socket, ascii("NBDMAGICIHAVEOPT") + [0, 3]) }
    }
    #expect(results["HS-001"]?.verdict == .pass)
    #expect(results["HS-002"]?.found == "the server stopped accepting connections after HS-002")
    #expect(results["TX-030"]?.verdict == .skip)
    #expect(results["TX-030"]?.found == "the server stopped accepting connections after HS-002")
  }

  /// Longer than any timeout of a check: Python on a busy machine needs seconds.
  @Test func aServerThatIsStartedHereMayTakeAWhile() async throws {
    let results = await verdicts(["HS-001"]) {
      try LiveTarget(.command(["sh", "-c", "sleep 0.7; printf 'NBDMAGICIHAVEOPT\\0\\3'; cat >/dev/null"]))
    }
    #expect(results["HS-001"]?.verdict == .pass, "\(results["HS-001"]?.found ?? "no result")")
  }

  /// A server that agrees to TLS, and then does `next`.
  private static func agreeing(_ socket: Int32, _ next: () -> Void) {
    guard say(socket, ascii("NBDMAGICIHAVEOPT") + [0, 3]) else { return }
    var bytes = [UInt8](repeating: 0, count: 4096)
    guard recv(socket, &bytes, 4, Int32(MSG_WAITALL)) == 4 else { return }
    while recv(socket, &bytes, 16, Int32(MSG_WAITALL)) == 16 {
      let option = UInt32(number(bytes[8..<12]))
      let count = Int(number(bytes[12..<16]))
      guard count <= bytes.count, count == 0 || recv(socket, &bytes, count, Int32(MSG_WAITALL)) == count else { return }
      let isAgreed = option == Opt.startTLS
      guard say(socket, OutgoingReply(option: option, type: isAgreed ? Rep.ack : Rep.tlsRequired, data: []).bytes) else { return }
      if isAgreed { return next() }
    }
  }

  @Test func aServerThatIsSilentInsteadOfTLSEndsTheRun() async {
    let results = await verdicts(["HS-001", "TLS-004"]) {
      Brute(tls: ModelTLS.credentials) { socket in Self.agreeing(socket) { Self.listen(socket) } }
    }
    #expect(results["error"]?.found.contains("in time") ?? false, "\(results)")
  }

  @Test func aServerThatTalksWithoutEndInsideTLSEndsTheRun() async {
    let results = await verdicts(["HS-001", "TLS-005"]) {
      Brute(tls: ModelTLS.credentials) { socket in
        Self.agreeing(socket) {
          guard let tls = ModelTLS(socket, versions: ModelTLS.versions) else { return }
          while tls.send([UInt8](repeating: 0x41, count: 65_536)) {}
        }
      }
    }
    #expect(results["error"]?.found.contains("bytes that begin with 0x4141") ?? false, "\(results)")
  }

  /// The clear part is judged, and nothing is said about the rest.
  @Test func aServerThatWantsTLSOfWhoDoesNotAskForIt() async {
    let results = await verdicts(["TLS-004", "TLS-005", "TX-030"]) { ModelServer(.forcedTLS) }
    #expect(results["TLS-004"]?.verdict == .pass)
    #expect(results["TLS-005"]?.found == "TLS was not asked for (an nbds: URI, a key or certificates)")
    #expect(results["TX-030"]?.found.contains("an nbds: URI, a key or certificates") ?? false)
  }

  /// Nothing is judged where the server has no TLS and it was required.
  @Test func aServerWithoutTLSIsNotTalkedToInTheClear() async {
    let results = await verdicts(["HS-001", "TX-030"]) { ModelServer(Offer(isAskedForTLS: true)) }
    #expect(results["error"]?.found.contains("does not have it") ?? false, "\(results)")
  }

  @Test func nobodyToConnectToIsNoReport() async {
    let results = await verdicts(["HS-001"]) { Brute(most: 0) { _ in } }
    #expect(results["error"]?.found.contains("refused") ?? false, "\(results)")
  }
}
