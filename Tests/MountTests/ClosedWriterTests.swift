import TestSupport
import Testing

extension MountTests {
  /// What a writer hides is seen again once it has closed the file.
  @Suite struct ClosedWriterTests {
    @Test(arguments: Client.perEngine)
    func holesAreSeenAgainAfterTheLastWriter(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "64M"]), by: client, in: directory) { mount in
          try await mount.succeed(xfsIO("pwrite -q 1m 64k", "fsync", on: mount.file))
          // The kernel tells us of a close in its own time.
          try await poll("the holes to be seen", within: .seconds(10)) {
            let output = try await mount.succeed(xfsIO("seek -d -r 0", flags: ["-r"], on: mount.file)).stdout
            return output.split(whereSeparator: \.isWhitespace).last == "\(mib)"
          }
        }
      }
    }
  }
}
