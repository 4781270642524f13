import TestSupport
import Testing

extension MountTests {
  /// What the owner may change about the file shows.
  @Suite struct AttributeChangeTests {
    private func withFile(_ client: Client, _ body: (Mount) async throws -> Void) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory, body)
      }
    }

    @Test(arguments: Client.perEngine)
    func chmodChangesTheMode(_ client: Client) async throws {
      try await withFile(client) { mount in
        try await mount.succeed(["chmod", "0640", mount.file])
        let field = try await statField("%a", of: mount.file, mount)
        #expect(field == "640")
      }
    }

    @Test(arguments: Client.perEngine)
    func chownChangesTheOwner(_ client: Client) async throws {
      try await withFile(client) { mount in
        try await mount.succeed(["chown", "1234:5678", mount.file])
        let field = try await statField("%u:%g", of: mount.file, mount)
        #expect(field == "1234:5678")
      }
    }

    @Test(arguments: Client.perEngine)
    func touchChangesTheTimes(_ client: Client) async throws {
      try await withFile(client) { mount in
        try await mount.succeed(["touch", "--date=@1000000000", mount.file])
        let field = try await statField("%X %Y", of: mount.file, mount)
        #expect(field == "1000000000 1000000000")
      }
    }

    /// The kernel cannot be told the size of a root by writing pages back that never come.
    @Test(arguments: Client.perEngine)
    func aReadOnlyFileCanBeMountedOverInWritebackMode(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let target = try directory.sparseFile("target", size: 0)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withMount(
            [server.uri()], options: ["-r", "--cache", "writeback"], engine: client.engine, at: .over(target), in: directory
          ) { mount in
            let size = try await statField("%s", of: mount.file, mount)
            #expect(size == "\(mib)")
          }
        }
      }
    }
  }
}
