import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Ends of mounts whose server is slow, hangs, or is dead.
  @Suite struct EndingServerTests {
    /// The sum of the deadlines (17.5 s), and what a busy machine adds.
    static let hangingEnd = Duration.seconds(30)

    /// Slow is not silent: writing back may take longer than any silence is borne.
    @Test(arguments: Client.perEngine)
    func aSlowServerGetsAllThatIsDirty(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 24 * mib, in: directory)
        let image = try directory.sparseFile("image", size: 24 * mib)
        let manager = try NotifySocket(in: directory)
        // In bits: 24 MiB take 16 s, less the 2 s that may come at once.
        try await withServer(.nbdkit(["--filter=rate", "file", image, "rate=12M"]), in: directory) { server in
          try await withMount(
            [server.uri()], options: ["-C", "\(client.connections)"], engine: client.engine, in: directory,
            launcher: ["env", "NOTIFY_SOCKET=\(manager.path)"]
          ) { mount in
            let clock = ContinuousClock()
            var start = clock.now
            try await withWriter(of: source, on: mount) { _ in
              start = clock.now
              _ = try await mount.end(SIGTERM)
            }
            #expect(clock.now - start > .seconds(10), "the server was not slow")
            try expectEnded(mount, .success, in: directory)
            #expect(manager.received().contains("EXTEND_TIMEOUT_USEC=20000000\n"), "systemd would not wait so long")
          }
        }
        try await succeed(["cmp", source, image])
      }
    }

    /// With the one cache, the kernel has what was written; with the other the server, which was not asked to keep it.
    @Test(arguments: Client.perEngine, ["writeback", "writethrough"])
    func aSignalEndsTheMountOfAHangingServerAndSaysWhatIsLost(_ client: Client, _ cache: String) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            try await withWriter(of: source, on: mount) { _ in
              try await server.suspend()
              _ = try await mount.end(SIGTERM, within: Self.hangingEnd)
            }
            #expect(mount.process.stderr.contains("may be lost"), "\(mount.process.stderr)")
            try expectEnded(mount, .exited(1), in: directory)
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func aSignalEndsTheMountOfADeadServerAndSaysWhatIsLost(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await client.mount(server, options: ["--reconnect-timeout", "0"], in: directory) { mount in
            try await withWriter(of: source, on: mount) { _ in
              try await server.crash()
              _ = try await mount.end(SIGTERM, within: .seconds(10))
            }
            #expect(mount.process.stderr.contains("lost"), "\(mount.process.stderr)")
            try expectEnded(mount, .exited(1), in: directory)
          }
        }
      }
    }

    /// The last flush is not waited for without end, and that it was not answered shows.
    @Test(arguments: Client.perEngine)
    func anUnmountLeavesAHangingServerAfterASilence(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await client.mount(server, options: ["--cache", "writethrough"], in: directory) { mount in
            try await withWriter(of: source, on: mount) { writer in
              try await server.suspend()
              #expect(await writer.terminate(), "it closes the file, and cannot wait for what that flushes")
            }
            _ = try await mount.unmount(within: Self.hangingEnd)
            #expect(mount.process.stderr.contains("may be lost"), "\(mount.process.stderr)")
            try expectEnded(mount, .exited(1), in: directory)
          }
        }
      }
    }

    /// The kernel lets the mount go while a read-ahead still waits for the server; so does nbdmount.
    @Test(arguments: Client.perEngine)
    func anUnmountDoesNotWaitForReadAhead(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["pattern", "64M"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await server.suspend()
            let reader = try ChildProcess(["dd", "if=\(mount.file)", "of=/dev/null", "bs=1M", "count=8"])
            try await reader.waitUntilItHolds(mount.file)
            try await mount.waitUntilRequestsWait()
            #expect(await reader.terminate())
            let status = try await mount.unmount(within: .seconds(15))
            #expect(status == .success, "\(mount.process.stderr)")
          }
        }
      }
    }

    /// Whoever gets errors finds their cause on standard error.
    @Test(arguments: Client.perEngine)
    func aServerThatDiesIsMentioned(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["pattern", "1M"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await server.crash()
            try await poll("the loss to be mentioned", within: .seconds(10)) {
              mount.process.stderr.contains("the connection to the server is lost")
            }
          }
        }
      }
    }
  }
}
