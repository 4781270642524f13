import TestSupport
import Testing

/// A server with 64 MiB of data, in several places of 100 GiB.
enum SparseServer: String, CaseIterable, Sendable {
  case qemuQcow2 = "qemu-nbd qcow2"
  case nbdkitMemory = "nbdkit memory"

  static let size = 100 * gib
  static let pieces: [UInt64] = [0, 10 * gib + 64 * kib, 55 * gib, 100 * gib - 16 * mib]

  func kind(in directory: TemporaryDirectory) async throws -> ServerKind {
    guard self == .qemuQcow2 else { return .nbdkit(["memory", "\(Self.size)"]) }
    let image = directory / "disk.qcow2"
    try await succeed(["qemu-img", "create", "-q", "-f", "qcow2", image, "\(Self.size)"])
    return .qemuNBD(["--format=qcow2", image])
  }

  /// Starts the server and fills it, through a mount that is gone again when `body` runs.
  func withFilled(
    by client: Client, in directory: TemporaryDirectory, _ body: (Server) async throws -> Void
  ) async throws {
    let source = try await Pattern.file("piece", size: 16 * mib, in: directory)
    try await withServer(kind(in: directory), in: directory) { server in
      try await client.mount(server, in: directory) { mount in
        for offset in Self.pieces {
          try await mount.succeed([
            "dd", "if=\(source)", "of=\(mount.file)", "bs=1M", "seek=\(offset)", "oflag=seek_bytes",
            "conv=notrunc,fsync",
          ])
        }
      }
      try await body(server)
    }
  }
}

extension MountTests {
  @Suite struct SparseTests {
    /// Copying costs what the data costs: 100 GiB of zeros would take minutes.
    static let deadline = Duration.seconds(60)
    static let dataSize = 64 * mib

    @Test(arguments: Client.perEngine, SparseServer.allCases)
    func sparseCopyCostsTheDataOnly(_ client: Client, _ kind: SparseServer) async throws {
      try await withTemporaryDirectory { directory in
        try await kind.withFilled(by: client, in: directory) { server in
          let copy = directory / "copy"
          try await client.mount(server, in: directory) { mount in
            try await mount.succeed(["cp", "--sparse=always", mount.file, copy], within: Self.deadline)
          }
          try await expectCopy(copy, of: server)
        }
      }
    }

    /// tar -S believes st_blocks: a count that is too low, or zero, archives holes for data.
    @Test(arguments: Client.perEngine, SparseServer.allCases)
    func sparseArchiveHoldsTheData(_ client: Client, _ kind: SparseServer) async throws {
      try await withTemporaryDirectory { directory in
        try await kind.withFilled(by: client, in: directory) { server in
          let archive = directory / "disk.tar"
          try await client.mount(server, in: directory) { mount in
            _ = try await blocksWithHoles(of: mount)
            try await mount.succeed(
              ["tar", "--sparse", "--create", "--file", archive, "--directory", mount.mountpoint, "nbd"],
              within: Self.deadline)
          }
          try await succeed(
            ["tar", "--sparse", "--extract", "--file", archive, "--directory", directory.path], within: Self.deadline)
          try await expectCopy(directory / "nbd", of: server)
        }
      }
    }

    @Test(arguments: Client.perEngine, SparseServer.allCases)
    func seekFindsDataAndHoles(_ client: Client, _ kind: SparseServer) async throws {
      try await withTemporaryDirectory { directory in
        try await kind.withFilled(by: client, in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            let output = try await mount.succeed(xfsIO("seek -a -r 0", flags: ["-r"], on: mount.file)).stdout
            func places(_ kind: String) -> [UInt64] {
              output.split(separator: "\n").filter { $0.hasPrefix(kind) }
                .compactMap { $0.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64($0) } }
            }
            #expect(places("DATA") == SparseServer.pieces)
            #expect(places("HOLE") == SparseServer.pieces.map { $0 + 16 * mib })
          }
        }
      }
    }

    /// Blocks in use are the data, never none.
    @Test(arguments: Client.perEngine, SparseServer.allCases)
    func blockCountIsTheData(_ client: Client, _ kind: SparseServer) async throws {
      try await withTemporaryDirectory { directory in
        try await kind.withFilled(by: client, in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            let blocks = try await blocksWithHoles(of: mount)
            #expect((Self.dataSize...Self.dataSize + 8 * mib).contains(blocks * 512))
          }
        }
      }
    }

    /// A server that cannot tell holes from data has data only.
    @Test(arguments: Client.perEngine)
    func blockCountWithoutExtentsIsTheSize(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit(["--filter=noextents", "memory", "10M"])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let field = try await statField("%b", of: mount.file, mount)
          #expect(field == "\(10 * mib / 512)")
        }
      }
    }

    /// The blocks in use, once the holes are counted, which goes on after the mount is there.
    private func blocksWithHoles(of mount: Mount) async throws -> UInt64 {
      for _ in 0..<300 {
        let blocks = try #require(UInt64(try await statField("%b", of: mount.file, mount)))
        if blocks < SparseServer.size / 512 { return blocks }
        try await Task.sleep(for: .milliseconds(100))
      }
      throw TestFailure("no holes were counted")
    }

    private func expectCopy(_ copy: String, of server: Server) async throws {
      let usage = try await succeed(["du", "--block-size=1", copy]).stdout
      let bytes = try #require(usage.split(separator: "\t").first.flatMap { UInt64($0) })
      #expect((Self.dataSize...Self.dataSize + 8 * mib).contains(bytes))
      // It compares by extents too, so that 100 GiB take no time.
      try await succeed(["qemu-img", "compare", "-f", "raw", "-F", "raw", copy, server.uri()], within: Self.deadline)
    }
  }
}
