import TestSupport
import Testing

/// Servers that differ in what they do with TRIM and WRITE_ZEROES.
enum ZeroingServer: String, CaseIterable, Sendable {
  case nbdkitFile = "nbdkit file"
  case nbdkitMemory = "nbdkit memory"
  case nbdkitWithoutZeroes = "nbdkit without WRITE_ZEROES"
  case nbdkitTrimDoesNothing = "nbdkit whose TRIM does nothing"
  case qemuUnmap = "qemu-nbd discard=unmap"
  case qemuIgnore = "qemu-nbd discard=ignore"
  case qemuQcow2 = "qemu-nbd qcow2"
  case nbdServer = "nbd-server"

  var export: String { self == .nbdServer ? "disk" : "" }

  func kind(size: UInt64, in directory: TemporaryDirectory) async throws -> ServerKind {
    let image = try directory.sparseFile("disk.img", size: size)
    switch self {
    case .nbdkitFile: return .nbdkit(["file", image])
    case .nbdkitMemory: return .nbdkit(["memory", "\(size)"])
    case .nbdkitWithoutZeroes: return .nbdkit(["--filter=nozero", "file", image])
    case .nbdkitTrimDoesNothing: return .nbdkit(evalPlugin(over: image) + ["can_trim=exit 0", "trim=exit 0"])
    case .qemuUnmap: return .qemuNBD(["--format=raw", "--discard=unmap", "--detect-zeroes=unmap", image])
    case .qemuIgnore: return .qemuNBD(["--format=raw", "--discard=ignore", image])
    case .qemuQcow2:
      try await succeed(["qemu-img", "create", "-q", "-f", "qcow2", image, "\(size)"])
      return .qemuNBD(["--format=qcow2", "--discard=unmap", image])
    case .nbdServer: return .nbdServer(image: image)
    }
  }
}

/// The least that nbdkit's eval plugin needs to serve `image` readable and writable.
func evalPlugin(over image: String) -> [String] {
  [
    "eval", "get_size=stat -c %s \(image)", "can_write=exit 0",
    "pread=dd if=\(image) iflag=skip_bytes,count_bytes,fullblock skip=$4 count=$3 bs=64k status=none",
    "pwrite=dd of=\(image) oflag=seek_bytes conv=notrunc seek=$4 bs=64k status=none",
  ]
}

/// The two ways of asking for zeros: util-linux's fallocate options.
enum ZeroingRequest: String, CaseIterable, Sendable {
  case punchHole = "--punch-hole"
  case zeroRange = "--zero-range"

  func command(_ offset: UInt64, _ length: UInt64, on file: String) -> [String] {
    ["fallocate", rawValue, "--keep-size", "--offset", "\(offset)", "--length", "\(length)", file]
  }
}

extension MountTests {
  @Suite struct ZeroingTests {
    static let size = 4 * mib
    /// Aligned and not, inside one sector, across many, and one that the end of the file cuts off.
    static let ranges: [(offset: UInt64, length: UInt64)] = [
      (mib, mib), (100, 300), (512 * kib - 1, 2), (3 * mib + 1, 70001), (size - 700, 4096),
    ]

    @Test(arguments: Client.perEngine, ZeroingServer.allCases.flatMap { server in
      ZeroingRequest.allCases.map { (server, $0) }
    })
    func leavesZerosAndNothingElse(_ client: Client, _ what: (ZeroingServer, ZeroingRequest)) async throws {
      let (server, request) = what
      try await withTemporaryDirectory { directory in
        let expected = try await Pattern.file("expected", size: Self.size, in: directory)
        try await withServer(server.kind(size: Self.size, in: directory), in: directory) { running in
          try await client.mount(running, export: server.export, in: directory) { mount in
            try await mount.succeed(copyRange(0, Self.size, from: expected, to: mount.file))
            for range in Self.ranges {
              try await mount.succeed(request.command(range.offset, range.length, on: mount.file))
              let length = min(range.length, Self.size - range.offset)
              try await succeed([
                "dd", "if=/dev/zero", "of=\(expected)", "bs=\(length)", "count=1", "seek=\(range.offset)",
                "oflag=seek_bytes", "conv=notrunc",
              ])
            }
            // Once as the page cache of this mount has it, once as the server has it.
            try await mount.succeed(["cmp", expected, mount.file])
          }
          try await client.mount(running, export: server.export, in: directory) { mount in
            try await mount.succeed(["cmp", expected, mount.file])
          }
        }
      }
    }

    /// A disk cannot grow.
    @Test(arguments: Client.perEngine)
    func allocatingBeyondTheEndFails(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          let beyond = try await mount.run(["fallocate", "--length", "\(mib + 1)", mount.file])
          #expect(beyond.stderr.contains("Operation not supported"), "\(beyond)")
          let zeroBeyond = try await mount.run(
            ["fallocate", "--zero-range", "--offset", "\(mib - 100)", "--length", "200", mount.file])
          #expect(zeroBeyond.stderr.contains("No space left on device"), "\(zeroBeyond)")
          let field = try await statField("%s", of: mount.file, mount)
          #expect(field == "\(mib)")
        }
      }
    }
  }
}
