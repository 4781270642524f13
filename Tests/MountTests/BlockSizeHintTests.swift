import TestSupport
import Testing

extension MountTests {
  /// What programs take for the best size of a request.
  @Suite struct BlockSizeHintTests {
    @Test(arguments: Client.perEngine, [("4k", 4096), ("64k", 65536)])
    func blockSizeIsWhatTheServerPrefers(_ client: Client, _ size: (preferred: String, expected: Int)) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit([
          "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=1", "blocksize-preferred=\(size.preferred)",
          "blocksize-maximum=1M",
        ])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let found = try await statField("%o", of: mount.file, mount)
          #expect(found == "\(size.expected)")
        }
      }
    }
  }
}
