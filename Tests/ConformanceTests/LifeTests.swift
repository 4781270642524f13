import NBDProtocol
import Testing

@testable import NBDConformance

/// What becomes of the server in a run: a crash is told of its own check, a server that hangs is started again, and nothing that
/// is said without end is kept.
@Suite(.serialized) struct LifeTests {
  /// Runs on a thread of its own, as it blocks. A line for each check: id, verdict and what was found.
  private func lines(
    _ ids: [String], timeout: Int = 1000, _ make: @escaping @Sendable () throws -> any Target
  ) async throws -> [String] {
    await inParallel([ids]) { ids in
      var settings = Settings()
      settings.timeout = timeout
      settings.quiet = 10
      settings.attempts = 2
      do {
        let target = try make()
        defer { target.shutDown() }
        let results = try Runner(target, settings: settings).run(Suite.all.filter { ids.contains($0.id) })
        return results.map { "\($0.id) \($0.verdict) \($0.found)" }
      } catch { return ["\(error)"] }
    }
  }

  /// With nothing to see on any connection.
  @Test func aCrashIsToldOfTheCheckBeforeIt() async throws {
    let violation = Violation(
      id: "OPT-018",
      option: { c, o in
        if c.history == [Opt.list, Opt.list] { c.server.crash("exited with status 101") }
        return false
      })
    let found = try await lines(["OPT-074", "TX-030"]) { ModelServer(.full, violation) }
    #expect(found == ["OPT-074 fail the server exited with status 101 after OPT-074", "TX-030 pass "])
  }

  @Test func aServerThatHangsIsStartedAgain() async throws {
    let violation = Violation(
      id: "OPT-014",
      option: { c, o in
        guard o.number == Opt.abort else { return false }
        c.server.hang()
        c.listen()
        return true
      })
    let found = try await lines(["OPT-014", "OPT-018"]) { ModelServer(.full, violation) }
    let hung = "OPT-014 fail the server stopped accepting connections after OPT-014, and was started again"
    #expect(found == [hung, "OPT-018 pass "])
  }

  /// Serves one client after the other with errors.
  ///
  /// - Parameters:
  ///   - abort: a statement for who asks to abort.
  ///   - goodbye: one for when a client has gone.
  private static func program(abort: String = "pass", goodbye: String = "pass") -> [String] {
    [
      "python3", "-c",
      """
      import socket, struct, time
      listener = socket.socket(fileno=3)
      def receive(client, count):
          data = b""
          while len(data) < count:
              piece = client.recv(count - len(data))
              if not piece:
                  raise EOFError
              data += piece
          return data
      while True:
          client, _ = listener.accept()
          try:
              client.sendall(b"NBDMAGICIHAVEOPT\\0\\3")
              receive(client, 4)
              while True:
                  option, length = struct.unpack(">8xLL", receive(client, 16))
                  receive(client, length)
                  if option == 2:
                      \(abort)
                  client.sendall(struct.pack(">QLLL", 0x3e889045565a9, option, 0x80000001, 0))
          except (EOFError, OSError):
              pass
          client.close()
          \(goodbye)
      """,
    ]
  }

  /// A client that comes while it ends would not be served. As qemu-nbd does where it is not told to stay.
  @Test func aProgramThatLeavesWithItsClientIsStartedForTheNext() async throws {
    let ids = ["HS-001", "HS-003", "OPT-005", "OPT-009", "OPT-016", "TLS-001"]
    let found = try await lines(ids) {
      try LiveTarget(.socketActivation(Self.program(goodbye: "time.sleep(0.05); raise SystemExit(0)")))
    }
    #expect(found == ids.map { "\($0) pass " })
  }

  /// Such as by an exception that nothing catches.
  @Test func aProgramThatEndsWithAStatusHasCrashed() async throws {
    let found = try await lines(["OPT-014", "TLS-001"]) {
      try LiveTarget(.socketActivation(Self.program(abort: "raise SystemExit(101)")))
    }
    #expect(found == ["OPT-014 fail the server exited with status 101 after OPT-014", "TLS-001 pass "])
  }

  @Test func aProgramThatHangsIsStartedAgain() async throws {
    let found = try await lines(["OPT-014", "TLS-001"]) { try LiveTarget(.socketActivation(Self.program(abort: "time.sleep(600)"))) }
    let hung = "OPT-014 fail the server stopped accepting connections after OPT-014, and was started again"
    #expect(found == [hung, "TLS-001 pass "])
  }

  /// As qemu-nbd does with its last client; and a server for one client may say with its status how that went.
  @Test(arguments: [
    ("exit 0", true, "nil"), ("exit 3", true, "exited with status 3"), ("exit 3", false, "nil"),
    ("kill -9 $$", false, "was ended by signal 9"),
  ])
  func whichEndingIsACrash(script: String, isForMany: Bool, ending: String) async {
    let found = await inParallel([script]) { script in
      let words = ["sh", "-c", script]
      guard let target = try? LiveTarget(isForMany ? .socketActivation(words) : .command(words)) else { return [] }
      defer { target.shutDown() }
      // It may have ended before that.
      do {
        let socket = try target.connect(deadline: .after(milliseconds: 5000))
        _ = socket.rawValue
      } catch {}
      // The second time there is nothing more to tell.
      return [target.takeCrash(within: 2000), target.takeCrash(within: 2000)].map { $0 ?? "nil" }
    }
    #expect(found == [ending, "nil"])
  }

  private static func chunks(_ c: ModelConnection, _ r: SeenRequest) -> Bool {
    guard c.isStructured, r.type == Cmd.read else { return false }
    // Some more than is kept, but not without end: a test that fails should end, too.
    let chunk = c.encoded(.data(r.offset, [UInt8](repeating: 1, count: 1 << 20)), r, extended: false)
    for _ in 0..<200 where c.isOpen { c.send(chunk) }
    c.end()
    return true
  }

  @Test func chunksWithoutEndAreNotKept() async throws {
    let found = try await lines(["SR-001"], timeout: 2000) { ModelServer(.full, Violation(id: "SR-001", request: Self.chunks)) }
    #expect(found == ["SR-001 fail \((96 << 20) + 96 * 8) bytes of payload and no end"])
  }
}
