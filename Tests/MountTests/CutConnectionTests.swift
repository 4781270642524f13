import Foundation
import TestSupport
import Testing

extension MountTests {
  /// One of several connections is lost, and the others work: a mount that goes on.
  @Suite struct CutConnectionTests {
    /// Mounts `kind` with four connections through a proxy.
    private static func withProxiedMount(
      _ kind: ServerKind, _ engine: Engine, options: [String] = [], in directory: TemporaryDirectory,
      _ body: (Mount, Proxy, Server) async throws -> Void
    ) async throws {
      try await withServer(kind, in: directory) { server in
        guard case .unix(let path) = server.endpoint else { return }
        let proxy = try Proxy(to: path, in: directory)
        defer { proxy.close() }
        try await withMount([proxy.uri], options: ["-C", "4"] + options, engine: engine, in: directory) { mount in
          #expect(proxy.count == 4)
          try await body(mount, proxy, server)
        }
      }
    }

    @Test(arguments: Engine.all, [0, 1, 3])
    func allIsRightAfterOneIsCut(_ engine: Engine, _ number: Int) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 8 * mib, in: directory)
        try await Self.withProxiedMount(
          .nbdkit(["memory", "8M"]), engine, options: ["--cache", "none"], in: directory
        ) { mount, proxy, _ in
          try await mount.succeed(xfsIO("pread -q 0 64k", on: mount.file))
          proxy.cut(number)
          // Whoever finds the connection cut may get an error, once; there is nothing in flight, so that nobody does.
          try await mount.succeed([
            "dd", "if=\(source)", "of=\(mount.file)", "bs=64k", "oflag=direct", "conv=notrunc,fsync",
          ])
          // Several at a time, so that all connections have something to do.
          let parts = (0..<8).map { part in
            "cmp --ignore-initial=\(part * 1_048_576) --bytes=1048576 \"$1\" \"$2\" || echo wrong &"
          }
          let compared = try await mount.succeed(["sh", "-c", parts.joined(separator: "\n") + "\nwait", "sh", source, mount.file])
          #expect(compared.stdout.isEmpty, "\(compared)")
        }
      }
    }

    /// What one connection has lost the others carry out: callers can be killed there too.
    @Test(arguments: Engine.all, [0, 1])
    func callersOfAStoppedServerGoAfterOneIsCut(_ engine: Engine, _ number: Int) async throws {
      try await withTemporaryDirectory { directory in
        try await Self.withProxiedMount(
          .nbdkit(["memory", "4M"]), engine, options: ["--cache", "none"], in: directory
        ) { mount, proxy, server in
          proxy.cut(number)
          try await mount.succeed(xfsIO("pread -q 0 64k", on: mount.file))
          try await server.suspend()
          let callers = try await KilledCallerTests.start(KilledCallerTests.Deed.allCases + [.read, .read, .write], on: mount)
          await KilledCallerTests.expectGone(callers, "\(engine)")
          server.signal(SIGCONT)
          try await mount.succeed(xfsIO("pread -q 0 64k", on: mount.file))
        }
      }
    }
  }
}
