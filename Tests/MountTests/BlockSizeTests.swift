import Foundation
import TestSupport
import Testing

extension MountTests {
  /// A server that refuses whatever is not in whole blocks, or is too long: the client has to split and widen.
  @Suite struct BlockSizeTests {
    static let size = 2 * mib

    static func server(_ plugin: [String]) -> ServerKind {
      .nbdkit(
        ["--filter=blocksize-policy"] + plugin + [
          "blocksize-minimum=4096", "blocksize-preferred=16384", "blocksize-maximum=64K",
          "blocksize-error-policy=error",
        ])
    }

    static let ranges: [(offset: UInt64, length: UInt64)] = [
      (0, 1), (1, 511), (4095, 2), (70_001, 4096), (131_071, 131_073), (1_000_003, 734_567), (size - 1, 1),
      (size - 4097, 4097),
    ]

    @Test(arguments: Client.all, ["none", "writethrough", "writeback"])
    func unalignedReadsAndWritesWork(_ client: Client, _ cache: String) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: Self.size, in: directory)
        let expected = try await Pattern.file("expected", size: Self.size, seed: 1, in: directory)
        let image = try await Pattern.file("image", size: Self.size, seed: 1, in: directory)
        try await withServer(Self.server(["file", image]), in: directory) { server in
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            for range in Self.ranges {
              try await mount.succeed(copyRange(range.offset, range.length, from: source, to: mount.file))
              try await succeed(copyRange(range.offset, range.length, from: source, to: expected))
              try await mount.succeed([
                "cmp", "--ignore-initial=\(range.offset)", "--bytes=\(range.length)", expected, mount.file,
              ])
            }
          }
        }
        try await succeed(["cmp", expected, image])
      }
    }

    /// The rest of a block at the end cannot be asked for; all before it can be read.
    @Test(arguments: Client.perEngine)
    func fileEndsWithTheLastWholeBlock(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: 10_000, in: directory)
        try await withServer(Self.server(["file", image]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await mount.succeed(["sh", "-c", "test $(stat -c %s \"$1\") = 8192", "sh", mount.file])
            try await mount.succeed(["sh", "-c", "head -c 8192 \"$2\" | cmp - \"$1\"", "sh", mount.file, image])
          }
        }
      }
    }

    @Test(arguments: Client.all, ZeroingRequest.allCases)
    func unalignedZeroingWorks(_ client: Client, _ request: ZeroingRequest) async throws {
      try await withTemporaryDirectory { directory in
        let expected = try await Pattern.file("expected", size: Self.size, in: directory)
        let image = try await Pattern.file("image", size: Self.size, in: directory)
        try await withServer(Self.server(["file", image]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            for range in Self.ranges {
              try await mount.succeed(request.command(range.offset, range.length, on: mount.file))
              try await succeed(copyRange(range.offset, range.length, from: "/dev/zero", to: expected))
            }
          }
        }
        try await succeed(["cmp", expected, image])
      }
    }

    /// Two processes write the even and the odd sectors at once: each write is a read-modify-write of a block that the
    /// other one is writing too.
    @Test(arguments: Client.all)
    func neighboursOfOneBlockLoseNothing(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: Self.size)
        try await withServer(Self.server(["file", image]), in: directory) { server in
          try await client.mount(server, options: ["--cache", "none"], in: directory) { mount in
            // rw=write:512 skips a sector after each write; thread=0 makes two processes.
            let job = ["--filename=\(mount.file)", "--rw=write:512", "--bs=512", "--io_size=\(Self.size / 2)"]
            let shared = ["--ioengine=libaio", "--iodepth=8", "--direct=1", "--output=/dev/null", "--thread=0"]
            try await mount.succeed(
              ["fio"] + shared
                + ["--name=even", "--offset=0", "--size=\(Self.size)", "--buffer_pattern=0xaa"] + job
                + ["--name=odd", "--offset=512", "--size=\(Self.size - 512)", "--buffer_pattern=0xbb"] + job)
          }
        }
        let sectors = [UInt8](try Data(contentsOf: URL(filePath: image)))
        let wrong = stride(from: 0, to: sectors.count, by: 512).filter { start in
          let fill: UInt8 = (start / 512).isMultiple(of: 2) ? 0xaa : 0xbb
          return !sectors[start..<start + 512].allSatisfy { $0 == fill }
        }
        #expect(wrong.isEmpty, "\(wrong.count) sectors lost, the first at \(wrong.first ?? 0)")
      }
    }
  }
}
