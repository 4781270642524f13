import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Callers that wait for a server which hangs, when the daemon between them goes, or its connection to the kernel.
  @Suite struct CrashedDaemonTests {
    @Test(arguments: Client.perEngine)
    func callersOfAKilledDaemonFailAtOnceAndItsMountIsReplaced(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let mountpoint = try directory.subdirectory("mnt")
        try await withServer(.nbdkit(["memory", "4M"]), in: directory) { server in
          try await withWaitingCallers(client, of: server, at: mountpoint, in: directory) { mount, callers in
            mount.process.signal(SIGKILL)
            try await expectFailures(callers)
            _ = try await mount.process.exitStatus(within: .seconds(10))
            // Not the same server: nbdkit 1.32 may fail an assertion when a client dies that it owes replies (raw_send_socket).
            try await withServer(.nbdkit(["pattern", "1M"]), in: directory) { other in
              try await withMount([other.uri()], engine: client.engine, at: .directory(mountpoint), in: directory) { mount in
                try await poll("the note", within: .seconds(10)) {
                  mount.process.stderr.contains("removed the dead mount at \(mountpoint)")
                }
                try await mount.succeed(["cat", mount.file])
              }
            }
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func callersOfAnAbortedMountFailAtOnce(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let mountpoint = try directory.subdirectory("mnt")
        try await withServer(.nbdkit(["memory", "4M"]), in: directory) { server in
          try await withWaitingCallers(client, of: server, at: mountpoint, in: directory) { mount, callers in
            try FuseConnection(try #require(mount.entry)).abort()
            try await expectFailures(callers)
            server.signal(SIGCONT)
            _ = try await mount.process.exitStatus(within: .seconds(15))
            #expect(mount.process.stderr.contains("aborted"))
            try expectEnded(mount, .exited(1), in: directory)
          }
        }
      }
    }

    /// Runs `body` with a mount of `server`, which hangs, and with processes that wait for it.
    private func withWaitingCallers(
      _ client: Client, of server: Server, at mountpoint: String, in directory: TemporaryDirectory,
      _ body: (Mount, [ChildProcess]) async throws -> Void
    ) async throws {
      let options = ["-C", "\(client.connections)", "--cache", "none"]
      try await withMount(
        [server.uri()], options: options, engine: client.engine, at: .directory(mountpoint), in: directory
      ) { mount in
        try await server.suspend()
        let callers = try await KilledCallerTests.start(KilledCallerTests.Deed.allCases, on: mount)
        do {
          try await body(mount, callers)
        } catch {
          for caller in callers { await caller.terminate() }
          throw error
        }
      }
    }

    /// With an error of their own, which they live to report.
    private func expectFailures(_ callers: [ChildProcess]) async throws {
      for caller in callers {
        let status = try await caller.exitStatus(within: KilledCallerTests.gone)
        #expect(status == .exited(1), "\(caller.command.joined(separator: " "))")
        // One that was still opening the file may be told EIO instead.
        let words = ["abort", "not connected", "cannot open \(caller.command.last ?? ""): Input/output error"]
        #expect(words.contains { caller.stderr.contains($0) }, "\(caller.stderr)")
      }
    }
  }
}
