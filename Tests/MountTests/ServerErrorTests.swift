import TestSupport
import Testing

extension MountTests {
  /// Which error an application sees for which error of the server.
  @Suite struct ServerErrorTests {
    @Test(
      arguments: Client.all,
      [
        ("EPERM", "Operation not permitted"), ("EIO", "Input/output error"), ("ENOMEM", "Cannot allocate memory"),
        ("EINVAL", "Invalid argument"), ("ENOSPC", "No space left on device"),
      ])
    func errorOfAReadIsTheServers(_ client: Client, _ error: (name: String, text: String)) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit([
          "--filter=error", "memory", "1M", "error-pread=\(error.name)", "error-pread-rate=100%",
        ])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let output = try await mount.run(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"])
          #expect(output.stderr.contains(error.text), "\(output)")
        }
      }
    }
  }
}
