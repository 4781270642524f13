import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What close(2) has the server do.
  @Suite struct CloseTests {
    @Test(arguments: Client.all, FileAccessTests.cacheModes)
    func closingAWriterFlushes(_ client: Client, _ cache: String) async throws {
      try await withLoggedMount(client, cache: cache) { mount, flushes in
        for count in 1...3 {
          try await mount.succeed(["dd", "if=/dev/zero", "of=\(mount.file)", "bs=4k", "count=2", "conv=notrunc"])
          #expect(try flushes() == count)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func closingAWriterReportsAFailedFlush(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 64 * kib)
        let server = ServerKind.nbdkit(evalPlugin(over: image) + ["can_flush=exit 0", "flush=echo EIO no >&2; exit 1"])
        try await withServer(server, in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            let output = try await mount.run(["dd", "if=/dev/zero", "of=\(mount.file)", "bs=4k", "count=1", "conv=notrunc"])
            #expect(output.stderr.contains("Input/output error"), "\(output)")
            #expect(try await mount.unmount() == .exited(1))
          }
        }
      }
    }

    /// Who only reads does not wait for other people's data, nor hear of their errors.
    @Test(arguments: Client.perEngine)
    func closingAReaderFlushesNothing(_ client: Client) async throws {
      try await withLoggedMount(client, cache: "writethrough") { mount, flushes in
        // A writer that waits, with the file open, for somebody to write to the pipe.
        let gate = "\(mount.process.pid).gate"
        let writer = try ChildProcess([
          "sh", "-c", "cd \"$2\" && mkfifo \"$3\" && (echo x; cat \"$3\") | dd of=\"$1\" bs=512 conv=notrunc", "sh", mount.file,
          NSTemporaryDirectory(), gate,
        ])
        do {
          try await poll("the write", within: .seconds(20)) {
            (try? await mount.run(["cmp", "--bytes=1", mount.file, "/dev/zero"]).succeeded) == false
          }
          #expect(try flushes() == 0)
          try await succeed(["sh", "-c", "echo >\"$1\"", "sh", NSTemporaryDirectory() + "/" + gate])
          #expect(try await writer.exitStatus(within: .seconds(20)) == .success)
          #expect(try flushes() == 1)
        } catch {
          await writer.terminate()
          throw error
        }
      }
    }

    /// - Parameter body: gets the mount and the number of flushes that the server has seen.
    private func withLoggedMount(
      _ client: Client, cache: String, _ body: (Mount, () throws -> Int) async throws -> Void
    ) async throws {
      try await withTemporaryDirectory { directory in
        let log = directory / "log"
        let server = ServerKind.nbdkit(["--filter=log", "memory", "1M", "logfile=\(log)"])
        try await withMountedServer(server, options: ["--cache", cache], by: client, in: directory) { mount in
          try await body(mount) {
            try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").count { $0.contains(" Flush ") }
          }
        }
      }
    }
  }
}
