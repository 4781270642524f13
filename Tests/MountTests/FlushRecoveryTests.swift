import TestSupport
import Testing

extension MountTests {
  /// A server whose flush fails for a while, as a disk does that is full or has lost a path.
  @Suite struct FlushRecoveryTests {
    private static let eio = "Input/output error"

    /// Runs `body` with a mount and a function that has the next flush fail.
    private func withFailingFlush(
      _ client: Client, _ cache: String, _ body: (Mount, () throws -> Void) async throws -> Void
    ) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 64 * kib)
        let marker = directory / "fail"
        let server = ServerKind.nbdkit(
          evalPlugin(over: image) + [
            "can_flush=exit 0", "can_multi_conn=exit 0",
            "flush=if test -e \(marker); then rm \(marker); echo EIO no >&2; exit 1; fi",
          ])
        try await withMountedServer(server, options: ["--cache", cache], by: client, in: directory) { mount in
          try await body(mount) { _ = try directory.sparseFile("fail", size: 0) }
        }
      }
    }

    /// The server has said it once, and says success from then on. Its data is lost all the same.
    @Test(arguments: Client.all, ["writeback", "writethrough", "none"])
    func whatOneFailedFlushLostIsReportedUntilItIsWrittenAgain(_ client: Client, _ cache: String) async throws {
      try await withFailingFlush(client, cache) { mount, failNextFlush in
        try failNextFlush()
        let first = try await mount.run(copyRange(0, 8192, from: "/dev/zero", to: mount.file))
        #expect(first.stderr.contains(Self.eio))
        for _ in 0..<2 {
          let again = try await mount.run(xfsIO("fsync", on: mount.file))
          #expect("\(again)".contains(Self.eio))
        }
        // A half is not enough.
        let half = try await mount.run(copyRange(0, 4096, from: "/dev/zero", to: mount.file))
        #expect(half.stderr.contains(Self.eio))
        try await mount.succeed(copyRange(4096, 4096, from: "/dev/zero", to: mount.file))
        let recovered = try await mount.succeed(xfsIO("fsync", on: mount.file))
        #expect(!"\(recovered)".contains(Self.eio))
      }
    }
  }
}
