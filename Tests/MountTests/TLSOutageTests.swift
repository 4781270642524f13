import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Mounts over TLS whose server does not read, or is killed and comes back.
  @Suite struct TLSOutageTests {
    private static func uri(_ server: Server) -> String {
      server.uri().replacingOccurrences(of: "nbd", with: "nbds", options: .anchored)
    }

    private static func options(_ certificates: Certificates) -> [String] {
      ["-v", "--tls-psk-file", certificates.keys, "--tls-username", "alice", "--cache", "none"]
    }

    /// Eleven megabytes that are under way at one time, over one connection, whose socket holds eight: so that it is full then, in
    /// the middle of a record. What was written is read back at the end.
    private static func fio(_ file: String, _ more: String...) -> [String] {
      [
        "fio", "--name=fill", "--filename=\(file)", "--offset=8m", "--size=32m", "--rw=write", "--bs=256k",
        "--ioengine=libaio", "--iodepth=44", "--direct=1", "--thread", "--verify=crc32c", "--verify_fatal=1", "--verify_dump=0", "--verify_state_save=0",
      ] + more
    }

    /// A mount whose server stands still, and a writer that has filled the socket.
    private func withFullSocket(
      _ client: Client, _ body: (_ mount: Mount, _ server: Server, _ writer: ChildProcess) async throws -> Void,
      then: (_ mount: Mount, _ image: String, _ directory: TemporaryDirectory) async throws -> Void
    ) async throws {
      try await withTemporaryDirectory { directory in
        let certificates = try await Certificates(in: directory)
        let image = try directory.sparseFile("image", size: 64 * mib)
        let kind = TLSServer.nbdkit.kind(image: image, keys: certificates.keys)
        try await withServer(kind, in: directory) { server in
          try await withMount(
            [Self.uri(server)], options: Self.options(certificates) + ["-C", "1"], engine: client.engine, in: directory
          ) { mount in
            try await server.suspend()
            defer { server.signal(SIGCONT) }
            try await withChildProcess(Self.fio(mount.file)) { writer in
              try await mount.waitUntilRequestsWait(count: 44)
              try await body(mount, server, writer)
            }
            try await then(mount, image, directory)
          }
        }
      }
    }

    /// Writers wait, one that is killed goes, and of what the others write nothing is lost.
    @Test(arguments: Client.perEngine)
    func aServerThatDoesNotReadIsWaitedFor(_ client: Client) async throws {
      try await withFullSocket(client) { mount, server, writer in
        #expect(mount.process.stderr.contains("encrypted with TLS"))
        let callers = try await KilledCallerTests.start([.largeWrite], on: mount)
        // That takes a while, in which a client that gave up, or lost something, would show.
        await KilledCallerTests.expectGone(callers, "\(client)")
        #expect(writer.ended.value == nil, "\(writer.stdout)")
        server.signal(SIGCONT)
        let status = try await writer.exitStatus(within: .seconds(60))
        #expect(status == .success, "\(writer.stdout)\(writer.stderr)")
      } then: { mount, image, _ in
        let end = try await mount.unmount()
        #expect(end == .success && !mount.process.stderr.contains("lost"), "\(mount.process.stderr)")
        try await succeed(Self.fio(image, "--verify_only=1"), within: .seconds(60))
      }
    }

    /// A full socket keeps nobody from ending the mount.
    @Test(arguments: Client.perEngine)
    func aServerThatDoesNotReadDoesNotKeepTheMount(_ client: Client) async throws {
      try await withFullSocket(client) { mount, _, writer in
        _ = try await mount.end(SIGTERM, within: .seconds(25))
        let status = try await writer.exitStatus(within: .seconds(10))
        #expect(status != .success, "its writes failed")
      } then: { mount, _, directory in
        // Whose writes were not answered has been told so: nothing that was promised is lost.
        try expectEnded(mount, .success, in: directory)
      }
    }

    /// fio writes, reads back what it has written, and finds all of it, while the server is killed three times; with the keys
    /// of root, which a user without rights cannot read again.
    @Test(arguments: Client.perEngine, [[], PrivilegeDropTests.drop])
    func whatIsWrittenOutlivesTheServer(_ client: Client, _ options: [String]) async throws {
      try await withTemporaryDirectory { directory in
        let certificates = try await Certificates(in: directory)
        let image = try directory.sparseFile("image", size: 64 * mib)
        let kind = TLSServer.nbdkit.kind(image: image, keys: certificates.keys)
        try await withServer(kind, over: .tcp, in: directory) { first in
          try await withMount(
            [Self.uri(first)], options: Self.options(certificates) + options, engine: client.engine, in: directory
          ) { mount in
            // 4096 writes, three seconds of them, and then as many reads.
            let fio = [
              "fio", "--name=verify", "--size=64m", "--rw=randwrite", "--bs=16k", "--ioengine=libaio", "--iodepth=8", "--direct=1",
              "--randseed=7", "--verify=crc32c", "--verify_fatal=1",
            ]
            let load = fio + ["--filename=\(mount.file)", "--rate_iops=1400", "--verify_dump=0", "--verify_state_save=0"]
            try await withChildProcess(load) { writer in
              try await Self.crash(first, times: 3, kind, in: directory) {
                let status = try await writer.exitStatus(within: .seconds(60))
                #expect(status == .success, "\(writer.stdout)\(mount.process.stderr)")
                let end = try await mount.unmount()
                #expect(end == .success, "\(mount.process.stderr)")
              }
            }
            let returns = mount.process.stderr.split(separator: "\n").count { $0.contains("connected to the server again") }
            #expect(returns >= 3, "\(mount.process.stderr)")
            try await succeed(
              fio + ["--filename=\(image)", "--verify_only=1", "--verify_dump=0", "--verify_state_save=0"], within: .seconds(60))
          }
        }
      }
    }

    /// Kills the server in the middle of what goes on, again and again, and starts it anew; and then `body`, with the last one.
    private static func crash(
      _ server: Server, times: Int, _ kind: ServerKind, in directory: TemporaryDirectory, _ body: () async throws -> Void
    ) async throws {
      guard times > 0 else { return try await body() }
      try await Task.sleep(for: .milliseconds(700))
      try await server.crash()
      try await withServer(kind, at: server.endpoint, in: directory) { next in
        try await crash(next, times: times - 1, kind, in: directory, body)
      }
    }
  }
}
