import TestSupport
import Testing

extension MountTests {
  /// What the owner may change about the file shows.
  @Suite struct AttributeChangeTests {
    @Test(arguments: Client.perEngine, [
      (["chmod", "0640"], "%a", "640"), (["chown", "1234:5678"], "%u:%g", "1234:5678"),
      (["touch", "--date=@1000000000"], "%X %Y", "1000000000 1000000000"),
    ] as [([String], String, String)])
    func whatIsChangedShows(_ client: Client, _ what: (command: [String], field: String, expected: String)) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          try await mount.succeed(what.command + [mount.file])
          let field = try await statField(what.field, of: mount.file, mount)
          #expect(field == what.expected)
        }
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
