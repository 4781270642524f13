import TestSupport
import Testing

extension MountTests {
  /// The mount has one file, and its name is for good.
  @Suite struct NameTests {
    @Test(arguments: Client.perEngine)
    func namesCannotBeMadeChangedOrRemoved(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          let other = "\(mount.mountpoint)/other"
          let commands = [
            ["rm", "-f", mount.file], ["mv", mount.file, other], ["touch", other], ["mkdir", other], ["mkfifo", other],
            ["ln", mount.file, other], ["ln", "-s", mount.file, other],
          ]
          for command in commands {
            let output = try await mount.run(command)
            #expect(output.stderr.contains("Operation not permitted"), "\(output)")
          }
          let listing = try await mount.succeed(["ls", mount.mountpoint])
          #expect(listing.stdout == "nbd\n")
        }
      }
    }
  }
}
