import Glibc
import SystemPackage
import Testing

@testable import NBDProtocol

/// Servers started by socket activation.
@Suite(.timeLimit(.minutes(10))) struct TransportActivationTests {
  private static let soon = Deadline.after(milliseconds: 60_000)

  @Test func nbdkitServesSeveralConnections() async throws {
    try await blocking {
      let endpoint = try ServerEndpoint(.socketActivation(["nbdkit", "-f", "memory", "1M"]))
      #expect(endpoint.maximumConnections == nil)
      for _ in 0..<2 {
        let socket = try endpoint.connect(deadline: Self.soon)
        #expect(String(decoding: try read(socket.rawValue) { $0.count >= 8 }.prefix(8), as: UTF8.self) == "NBDMAGIC")
      }
      #expect(endpoint.processEnding == nil)
      endpoint.shutdown()
      let late = try message { _ = try endpoint.connect(deadline: Self.soon) }
      #expect(late == "server nbdkit was shut down")
    }
  }

  private struct Started: ~Copyable {
    let activation: SocketActivation
    let report: String
  }

  /// A server that never accepts: it reports what `script` prints, then sleeps.
  private static func start(
    _ script: String, _ arguments: [String] = [], scratch: Scratch
  ) throws -> Started {
    let path = scratch.file("report")
    let pipe = try reportPipe(path)
    let activation = try SocketActivation.start(
      ["sh", "-c", "{ " + script + "; echo; } >\"$0\"; exec sleep 1000", path] + arguments)
    return Started(activation: activation, report: try readLine(pipe.rawValue))
  }

  @Test func theChildGetsWhatSystemdWouldGiveIt() async throws {
    try await blocking {
      let scratch = try Scratch()
      let ours = try Listener()
      let server = try Self.start(
        #"echo -n "$LISTEN_PID $$ $LISTEN_FDS $(readlink /proc/$$/fd/3) " $(ls /proc/$$/fd)"#, scratch: scratch)
      let process = server.activation.child.identifier
      let words = server.report.split(separator: " ").map(String.init)
      #expect(words.prefix(3) == ["\(process)", "\(process)", "1"])
      #expect(try #require(words.dropFirst(3).first).hasPrefix("socket:"))
      #expect(getpgid(process) == process)
      let targets = words.dropFirst(4).map { descriptorTarget("\(process)", $0) }
      for number in [ours.socket.rawValue, server.activation.lifeline.rawValue] {
        #expect(!targets.contains(descriptorTarget("self", "\(number)")))
      }
      // Only the child may hold the listening socket: else connecting could not fail when the child is gone.
      #expect(targets.count { $0 == words[3] } == 1)
      server.activation.end(termMilliseconds: 10_000)
    }
  }

  @Test func noTextBecomesShellCode() async throws {
    try await blocking {
      let scratch = try Scratch()
      let hostile = ["a b", "$(touch /tmp/x)", "`id`", "'\"", "*", "-n", "", "\u{1b}", "é;&|<>"]
      let server = try Self.start(#"printf '<%s>' "$@""#, hostile, scratch: scratch)
      #expect(server.report == hostile.map { "<\($0)>" }.joined())
      server.activation.end(termMilliseconds: 10_000)
      let option = try message { _ = try ServerEndpoint(.socketActivation(["-a", "x"])) }
      #expect(option == "-a is not the name of a command")
    }
  }

  @Test func aChildThatNeverListensStillEndsAndLeavesNothing() async throws {
    try await blocking {
      let scratch = try Scratch()
      let server = try Self.start("true", scratch: scratch)
      let process = server.activation.child.identifier
      let directory = server.activation.directory.path
      var status = stat()
      #expect(stat(directory, &status) == 0 && status.st_mode & 0o7777 == 0o700)
      // The connection waits in the backlog; that no greeting comes is for the negotiation's deadline to notice.
      let socket = try Connector.connect(to: server.activation.address, deadline: Self.soon)
      #expect(try !Syscall.poll(socket.rawValue, for: Int32(POLLIN), until: .after(milliseconds: 50)))
      server.activation.end(termMilliseconds: 10_000)
      #expect(kill(process, 0) == -1 && errno == ESRCH)
      // The watching shell has got its signal; init may need a moment to reap it.
      let patience = Deadline.after(milliseconds: 10_000)
      while kill(-process, 0) == 0, !patience.hasPassed { sched_yield() }
      #expect(kill(-process, 0) == -1 && errno == ESRCH, "the watching shell is still there")
      #expect(access(directory, F_OK) == -1)
    }
  }

  @Test func aChildThatExitsAtOnceIsReported() async throws {
    try await blocking {
      let endpoint = try ServerEndpoint(.socketActivation(["sh", "-c", "exit 7"]))
      var error: NBDError?
      // Until the child is gone its backlog takes connections, which then end.
      let patience = Deadline.after(milliseconds: 20_000)
      while error == nil, !patience.hasPassed {
        do throws(NBDError) {
          let socket = try endpoint.connect(deadline: Self.soon)
          _ = try? read(socket.rawValue) { _ in false }
        } catch let caught {
          error = caught
        }
      }
      #expect(error == .disconnected("server sh exited with status 7"))
      endpoint.shutdown()
    }
  }

  /// What happens when this process is killed: nobody holds the lifeline any more.
  @Test func theServerIsEndedWhenWeAreGone() async throws {
    try await blocking {
      let scratch = try Scratch()
      let server = try Self.start("true", scratch: scratch)
      let handle = try Syscall.openProcess(server.activation.child.identifier)
      #expect(access(server.activation.directory.socketPath, F_OK) == 0)
      shutdown(server.activation.lifeline.rawValue, Int32(SHUT_RDWR))
      #expect(try ends(handle))
      #expect(server.activation.child.ending(by: Self.soon) == "was ended by signal 15")
      #expect(access(server.activation.directory.path, F_OK) == -1)
      server.activation.end(termMilliseconds: 10_000)
    }
  }
}
