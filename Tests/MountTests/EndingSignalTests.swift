import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What signals mean, one and several, and before there is a mount.
  @Suite struct EndingSignalTests {
    struct Pair: CustomStringConvertible, Sendable {
      let first: Int32
      let second: Int32
      var description: String { "\(first), then \(second)" }
    }

    /// `timeout` signals a process and then its group; a terminal that goes sends two hangups, systemd perhaps both kinds.
    @Test(
      arguments: Client.perEngine,
      [
        Pair(first: SIGTERM, second: SIGTERM), Pair(first: SIGHUP, second: SIGHUP), Pair(first: SIGTERM, second: SIGHUP),
        Pair(first: SIGINT, second: SIGTERM),
      ])
    func twoSignalsAtOnceAreOne(_ client: Client, _ signals: Pair) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 4 * mib, in: directory)
        let image = try directory.sparseFile("image", size: 4 * mib)
        try await withServer(cachingServer(over: image), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await withWriter(of: source, on: mount) { _ in
              mount.process.signal(signals.first)
              // Two of the same kind that are pending at one time would be one.
              try await Task.sleep(for: .milliseconds(20))
              mount.process.signal(signals.second)
              _ = try await mount.process.exitStatus(within: .seconds(20))
            }
            try expectEnded(mount, .success, in: directory)
          }
          try await server.crash()
        }
        try await succeed(["cmp", source, image])
      }
    }

    /// Nobody has to wait for a server that hangs, who says so twice; a hangup says nothing.
    @Test(arguments: Client.perEngine)
    func aSecondInterruptEndsAtOnceAndAHangupDoesNot(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await withWriter(of: source, on: mount) { _ in
              try await server.suspend()
              mount.process.signal(SIGTERM)
              // What makes the second one count is the time between them.
              try await Task.sleep(for: .milliseconds(1100))
              mount.process.signal(SIGHUP)
              #expect(await mount.process.ended.value(within: .milliseconds(500)) == nil)
              let clock = ContinuousClock()
              let start = clock.now
              mount.process.signal(SIGINT)
              _ = try await mount.process.exitStatus(within: .seconds(10))
              #expect(clock.now - start < .seconds(5))
            }
            try expectEnded(mount, .exited(1), in: directory)
          }
        }
      }
    }

    /// `nohup`, and the SIGINT of a shell's background job.
    @Test(arguments: Client.perEngine)
    func signalsThatWereIgnoredStayIgnored(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["pattern", "1M"]), in: directory) { server in
          try await withMount(
            [server.uri()], engine: client.engine, in: directory,
            launcher: ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh"]
          ) { mount in
            for signal in [SIGHUP, SIGINT, SIGUSR1] { mount.process.signal(signal) }
            #expect(await mount.process.ended.value(within: .milliseconds(500)) == nil)
            try await mount.succeed(["cat", mount.file])
          }
        }
      }
    }

    /// The kernel would forget how our helpers end.
    @Test(arguments: Client.perEngine)
    func childrenAreSeenToEndWhereTheirSignalWasIgnored(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: mib)
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          let place = Mount.Place.over(try directory.sparseFile("over", size: 0))
          try await withMount(
            [server.uri()], engine: client.engine, at: place, in: directory,
            launcher: ["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"]
          ) { mount in
            try await mount.succeed(["dd", "if=/dev/zero", "of=\(mount.file)", "bs=4k", "count=1", "conv=notrunc"])
            #expect(try await mount.end(SIGTERM) == .success)
            #expect(mount.process.stderr == "")
          }
        }
      }
    }

    /// A server that accepts and says nothing would keep it for half a minute.
    @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
    func signalsEndItWhileItConnects(_ signal: Int32) async throws {
      try await withTemporaryDirectory { directory in
        let server = try GreetingServer([], hangsUp: false, in: directory)
        let mountpoint = try directory.subdirectory("mnt")
        try await withChildProcess([try Layout.nbdmount(), mountpoint, server.uri]) { client in
          #expect(await server.hasClient.value(within: .seconds(10)) == true)
          client.signal(signal)
          let status = try await client.exitStatus(within: .seconds(10))
          #expect(status == .exited(1))
          #expect(MountTable.entry(at: mountpoint) == nil)
        }
      }
    }

    @Test func aServerThatWasStartedGoesWithTheInterruptedClient() async throws {
      try await withTemporaryDirectory { directory in
        let mountpoint = try directory.subdirectory("mnt")
        try await withChildProcess([try Layout.nbdmount(), mountpoint, "[", "sleep", "1000", "]"]) { client in
          var servers: [pid_t] = []
          try await poll("the server to be started", within: .seconds(10)) {
            servers = (try? client.children()) ?? []
            return !servers.isEmpty
          }
          client.signal(SIGINT)
          #expect(try await client.exitStatus(within: .seconds(10)) == .exited(1))
          for server in servers { #expect(kill(server, 0) == -1, "the server is still there") }
        }
      }
    }

    /// The command that waits takes the process in the background with it.
    @Test func aBackgroundMountThatIsNotReadyCanBeInterrupted() async throws {
      try await withTemporaryDirectory { directory in
        let server = try GreetingServer([], hangsUp: false, in: directory)
        let mountpoint = try directory.subdirectory("mnt")
        try await withChildProcess([try Layout.nbdmount(), "--background", mountpoint, server.uri]) { command in
          var daemons: [pid_t] = []
          try await poll("the process in the background", within: .seconds(10)) {
            daemons = (try? command.children()) ?? []
            return !daemons.isEmpty
          }
          command.signal(SIGINT)
          #expect(try await command.exitStatus(within: .seconds(10)) == .exited(1))
          // Ours to reap is only the command.
          try await poll("the background process to go", within: .seconds(10)) {
            daemons.allSatisfy { kill($0, 0) == -1 || isZombie($0) }
          }
        }
      }
    }
  }
}

private func isZombie(_ process: pid_t) -> Bool {
  let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? "State:\tZ"
  return status.contains("State:\tZ")
}
