import TestSupport
import Testing

extension MountTests {
  /// Reads and writes of every shape, on a disk whose size is a multiple of nothing.
  @Suite struct FileAccessTests {
    static let size: UInt64 = 3_000_017
    static let server = ServerKind.nbdkit(["memory", "\(size)"])
    static let cacheModes = ["writeback", "writethrough", "none"]

    static let ranges: [(offset: UInt64, length: UInt64)] = [
      (0, 1), (1, 511), (4095, 2), (70_001, 4096), (131_071, 131_073), (1_000_003, 1_234_567), (size - 1, 1),
      (size - 4097, 4097),
    ]

    @Test(arguments: Client.all, cacheModes)
    func writesAtOddOffsetsLandWhereTheyShould(_ client: Client, _ cache: String) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: Self.size, in: directory)
        let expected = try directory.sparseFile("expected", size: Self.size)
        try await withServer(Self.server, in: directory) { server in
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            for range in Self.ranges {
              try await mount.succeed(copyRange(range.offset, range.length, from: source, to: mount.file))
              try await succeed(copyRange(range.offset, range.length, from: source, to: expected))
            }
            try await mount.succeed(["cmp", expected, mount.file])
          }
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            try await mount.succeed(["cmp", expected, mount.file])
          }
        }
      }
    }

    @Test(arguments: Client.all, cacheModes)
    func readsAtOddOffsetsGiveWhatIsThere(_ client: Client, _ cache: String) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: Self.size, in: directory)
        let server = ServerKind.nbdkit(["file", source])
        try await withMountedServer(server, options: ["--cache", cache], by: client, in: directory) { mount in
          for range in Self.ranges {
            try await mount.succeed([
              "cmp", "--ignore-initial=\(range.offset)", "--bytes=\(range.length)", source, mount.file,
            ])
          }
        }
      }
    }

    /// The last sector is cut off, and what lies behind it does not exist.
    @Test(arguments: Client.perEngine, [("13", "100", 13), ("0", "1", 0), ("-1", "4096", 0)])
    func readsEndAtTheEnd(_ client: Client, _ read: (before: String, count: String, expected: Int)) async throws {
      try await withTemporaryDirectory { directory in
        let offset = Int(Self.size) - (Int(read.before) ?? 0)
        for flag in ["skip_bytes", "skip_bytes,direct"] {
          try await withMountedServer(Self.server, by: client, in: directory) { mount in
            let output = try await mount.succeed([
              "sh", "-c", "dd if=\"$1\" iflag=\"$2\" skip=\"$3\" bs=\"$4\" count=1 status=none | wc -c", "sh",
              mount.file, flag, "\(offset)", read.count,
            ])
            #expect(Int(output.stdout.filter(\.isNumber)) == read.expected)
          }
        }
      }
    }

    /// A disk does not grow: the part inside is written, the rest is refused.
    @Test(arguments: Client.perEngine, cacheModes)
    func writingBeyondTheEndIsNoSpace(_ client: Client, _ cache: String) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 8192, in: directory)
        try await withServer(Self.server, in: directory) { server in
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            for offset in [Self.size - 50, Self.size, Self.size + 1_000_000] {
              let output = try await mount.run([
                "dd", "if=\(source)", "of=\(mount.file)", "bs=4096", "count=1", "seek=\(offset)", "oflag=seek_bytes",
                "conv=notrunc,fsync",
              ])
              #expect(!output.succeeded)
              #expect(output.stderr.contains("No space left on device"))
              try await self.sizeReturns(mount)
            }
          }
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            try await mount.succeed([
              "cmp", "--ignore-initial=0:\(Self.size - 50)", "--bytes=50", source, mount.file,
            ])
          }
        }
      }
    }

    /// Nothing of what follows such an error keeps the mount busy.
    @Test(arguments: Client.perEngine)
    func unmountsRightAfterAWriteBeyondTheEnd(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(Self.server, in: directory) { server in
          for _ in 0..<10 {
            try await client.mount(server, in: directory) { mount in
              // In one shell, so that the one follows on the other's heels.
              let output = try await mount.run([
                "sh", "-c", "echo x | dd of=\"$1\" oflag=seek_bytes seek=\"$2\" conv=notrunc,fsync; fusermount3 -u \"$3\"",
                "sh", mount.file, "\(Self.size)", mount.mountpoint,
              ])
              #expect(output.stderr.contains("No space left on device"))
              try #require(output.succeeded, "\(output)")
              #expect(try await mount.process.exitStatus(within: .seconds(10)) == .success)
            }
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func truncatingWorksToTheSameSizeOnly(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(Self.server, by: client, in: directory) { mount in
          for other in [0, 1, Self.size - 1, Self.size + 1] {
            let output = try await mount.run(["truncate", "--no-create", "--size=\(other)", mount.file])
            #expect(output.stderr.contains("Invalid argument"), "\(output)")
            #expect(try await self.size(mount) == Self.size)
          }
          try await mount.succeed(["truncate", "--no-create", "--size=\(Self.size)", mount.file])
        }
      }
    }

    /// Not with `--cache none`: most kernels refuse a shared mapping of a file without pages.
    @Test(arguments: Client.all, ["writeback", "writethrough"])
    func sharedMappingReachesTheServer(_ client: Client, _ cache: String) async throws {
      try await withTemporaryDirectory { directory in
        let expected = try directory.sparseFile("expected", size: Self.size)
        try await withServer(Self.server, in: directory) { server in
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            for file in [mount.file, expected] {
              try await mount.succeed(
                xfsIO(
                  "mmap -rw 0 1m", "mwrite -S 0x5a 100 5000", "mwrite -S 0xa5 700001 70000", "msync -s 0 1m", on: file))
            }
          }
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            try await mount.succeed(["cmp", expected, mount.file])
          }
        }
      }
    }

    @Test(arguments: Client.all, ["direct", "dsync", "sync", "direct,dsync"])
    func writesWithAnyOpenFlagLandWhereTheyShould(_ client: Client, _ flags: String) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await mount.succeed([
              "dd", "if=\(source)", "of=\(mount.file)", "bs=64k", "oflag=\(flags)", "conv=notrunc",
            ])
            try await mount.succeed([
              "sh", "-c", "dd if=\"$1\" bs=64k iflag=direct status=none | cmp - \"$2\"", "sh", mount.file, source,
            ])
          }
        }
      }
    }

    /// With the writeback cache the kernel believes in the larger size until it is told otherwise, right after the error.
    private func sizeReturns(_ mount: Mount) async throws {
      let clock = ContinuousClock()
      let deadline = clock.now + .seconds(10)
      var found = try await size(mount)
      while found != Self.size, clock.now < deadline { found = try await size(mount) }
      #expect(found == Self.size)
    }

    private func size(_ mount: Mount) async throws -> UInt64? {
      UInt64(try await statField("%s", of: mount.file, mount))
    }
  }
}
