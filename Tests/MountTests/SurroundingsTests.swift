import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Odd states that a process may be started in.
  @Suite struct SurroundingsTests {
    /// What a shell can close, and the numbers that this leaves free.
    static let closed: [(redirection: String, numbers: ClosedRange<Int>)] = [
      ("<&-", 0...0), (">&-", 1...1), ("2>&-", 2...2), ("<&- >&- 2>&-", 0...2),
    ]

    /// A shell that runs `before` and becomes what follows, with this redirection.
    private func shell(_ before: String = "", redirecting: String = "") -> [String] {
      ["sh", "-c", "\(before) exec \"$@\" \(redirecting)", "sh"]
    }

    /// What was closed must not become a connection, which would receive the warning about the refused truncation.
    @Test(arguments: Client.all, closed)
    func closedStandardDescriptorsAreNotConnections(
      _ client: Client, _ closed: (redirection: String, numbers: ClosedRange<Int>)
    ) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          try await withMount(
            [server.uri()], options: ["-C", "\(client.connections)"], engine: client.engine, in: directory,
            launcher: shell(redirecting: closed.redirection)
          ) { mount in
            for descriptor in closed.numbers {
              let target = try FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/\(mount.process.pid)/fd/\(descriptor)")
              #expect(target == "/dev/null")
            }
            let refused = try await mount.run(["truncate", "-s", "5", mount.file])
            #expect(refused.stderr.contains("Invalid argument"))
            try await mount.succeed(["cmp", image, mount.file])
          }
          #expect(!server.process.stderr.contains("magic"), "\(server.process.stderr)")
        }
      }
    }

    /// nbdkit refuses to start where one of them is closed.
    @Test(arguments: Client.perEngine)
    func aStartedServerFindsThemOpen(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        for mode in [["[", "nbdkit", "memory", "1M", "]"], ["--command", "nbdkit", "-s", "memory", "1M"]] {
          try await withMount(mode, engine: client.engine, in: directory, launcher: shell(redirecting: "<&- >&- 2>&-")) { mount in
            try await mount.succeed(["cmp", "--bytes=512", "/dev/zero", mount.file])
          }
        }
      }
    }

    /// A crash then ends the process at once, and frees its callers.
    @Test(arguments: Client.perEngine)
    func crashesAreLeftToTheKernel(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          let status = try String(contentsOfFile: "/proc/\(mount.process.pid)/status", encoding: .utf8)
          let caught = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }
          let mask = try #require(caught.flatMap { UInt64($0.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) })
          for signal in [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGSEGV] {
            #expect(mask & 1 << UInt64(signal - 1) == 0, "signal \(signal)")
          }
        }
      }
    }

    /// SIGXFSZ would end the process with the mount in place.
    @Test(arguments: Client.perEngine)
    func aLimitOnFileSizesIsAnErrorOfThePidFile(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let mountpoint = try directory.subdirectory("mnt")
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          // Through a pipe, because the limit holds for the file that the test would find the message in.
          let refused = try await run(
            ["sh", "-c", "(ulimit -f 0; exec \"$@\") 2>&1 | cat", "sh", try Layout.nbdmount()]
              + ["--engine", client.engine.rawValue, "-P", directory / "pid", mountpoint, server.uri()])
          #expect(refused.stdout.contains("pid: File too large"), "\(refused)")
          #expect(MountTable.entry(at: mountpoint) == nil)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func aSmallStackIsMadeLarger(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          try await withMount(
            [server.uri()], engine: client.engine, in: directory, launcher: shell("ulimit -S -s 64;")
          ) { mount in
            try await mount.succeed(["cmp", image, mount.file])
            #expect(try await mount.end(SIGTERM) == .success)
            #expect(mount.entry == nil)
          }
        }
      }
    }

    /// Where it cannot be made larger, fusermount3 would crash, and so might nbdmount.
    @Test func aStackThatIsTooSmallIsRefused() async throws {
      let incapable = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]
      let output = try await run(incapable + shell("ulimit -s 64;") + [try Layout.nbdmount(), "--version"])
      #expect(output.status == .exited(1))
      #expect(output.stderr == "nbdmount: the limit on the stack (ulimit -s) is too low: 512 KiB are needed\n")
    }
  }
}
