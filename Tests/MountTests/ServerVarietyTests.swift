import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Servers that leave parts of the protocol out, or do them in their own way.
  @Suite struct ServerVarietyTests {
    /// nbdkit's arguments for a writable disk of ``size`` bytes.
    static let writable: [[String]] = [
      ["--no-sr", "memory", "1000003"],
      ["--mask-handshake=0", "memory", "1000003"],
      ["--mask-handshake=1", "memory", "1000003"],
      ["--mask-handshake=2", "memory", "1000003"],
      ["--filter=noextents", "memory", "1000003"],
      ["--filter=nozero", "memory", "1000003"],
      ["--filter=fua", "memory", "1000003", "fuamode=force"],
      ["--filter=noparallel", "memory", "1000003"],
      ["--filter=multi-conn", "memory", "1000003", "multi-conn-mode=disable"],
      ["--filter=multi-conn", "memory", "1000003", "multi-conn-mode=emulate"],
      ["--filter=cow", "pattern", "1000003"],
      ["--filter=log", "memory", "1000003", "logfile=/dev/null"],
      ["--filter=cache", "memory", "1000003", "cache=writeback"],
      ["-t", "1", "memory", "1000003"],
      ["--filter=delay", "memory", "1000003", "delay-read=1ms", "delay-write=1ms"],
    ]
    static let size: UInt64 = 1_000_003

    @Test(arguments: Client.all, writable)
    func takesAndGivesBackData(_ client: Client, _ arguments: [String]) async throws {
      try await withTemporaryDirectory { directory in
        try await expectRoundTrip(.nbdkit(arguments), size: Self.size, by: client, in: directory)
      }
    }

    @Test(arguments: Client.all)
    func qcow2TakesAndGivesBackData(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = directory / "disk.qcow2"
        try await succeed(["qemu-img", "create", "-q", "-f", "qcow2", image, "64M"])
        try await expectRoundTrip(
          .qemuNBD(["--format=qcow2", image]), size: 64 * mib, by: client, in: directory)
      }
    }

    /// A plugin without flush: nbdkit's oldstyle side offers a flush that it then refuses.
    @Test(arguments: Client.all)
    func oldstyleServerTakesAndGivesBackData(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 100_003)
        try await expectRoundTrip(
          .nbdkit(["--oldstyle"] + evalPlugin(over: image)), size: 100_003, by: client, in: directory)
      }
    }

    @Test(arguments: Client.all)
    func evalPluginTakesAndGivesBackData(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 100_003)
        try await expectRoundTrip(.nbdkit(evalPlugin(over: image)), size: 100_003, by: client, in: directory)
      }
    }

    @Test(arguments: Client.all, [1, 511, 512, 513, 4097] as [UInt64])
    func smallSizesTakeAndGiveBackData(_ client: Client, _ size: UInt64) async throws {
      try await withTemporaryDirectory { directory in
        try await expectRoundTrip(.nbdkit(["memory", "\(size)"]), size: size, by: client, in: directory)
      }
    }

    @Test(arguments: Client.all)
    func emptyExportIsAnEmptyFile(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "0"]), by: client, in: directory) { mount in
          let size = try await statField("%s", of: mount.file, mount)
          #expect(size == "0")
          try await mount.succeed(["cmp", "/dev/null", mount.file])
          let writing = try await mount.run(xfsIO("pwrite -q 0 4096", flags: ["-d"], on: mount.file))
          #expect("\(writing)".contains("No space left on device"))
        }
      }
    }

    /// The largest size that a file can have.
    @Test(arguments: Client.perEngine)
    func hugeExportIsReadAtBothEnds(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let size = Int64.max / 512 * 512
        try await withMountedServer(.nbdkit(["null", "\(size)"]), by: client, in: directory) { mount in
          let found = try await statField("%s", of: mount.file, mount)
          #expect(found == "\(size)")
          for offset in [0, size - 512] {
            let output = try await mount.succeed(
              xfsIO("pread -q -v \(offset) 512", flags: ["-r"], on: mount.file))
            #expect(!output.stdout.isEmpty)
          }
        }
      }
    }

    /// Each eight bytes of the pattern plugin are their own offset: a read that is misplaced shows.
    @Test(arguments: Client.all)
    func patternPluginShowsEachByteInItsPlace(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let words = (0..<UInt64(mib / 8)).map { ($0 * 8).bigEndian }
        let expected = directory / "expected"
        try words.withUnsafeBytes { Data($0) }.write(to: URL(filePath: expected))
        try await withMountedServer(.nbdkit(["pattern", "1M"]), by: client, in: directory) { mount in
          try await mount.succeed(["cmp", expected, mount.file])
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func dataPluginShowsItsBytes(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit(["data", "1 2 3 @0x1000 0xff", "size=8K"])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let expected = try directory.sparseFile("expected", size: 8192)
          let file = try #require(FileHandle(forWritingAtPath: expected))
          try file.write(contentsOf: [1, 2, 3])
          try file.seek(toOffset: 4096)
          try file.write(contentsOf: [0xff])
          try file.close()
          try await mount.succeed(["cmp", expected, mount.file])
        }
      }
    }

    /// The server's error reaches the application as it is, and only the request that had it fails.
    @Test(arguments: Client.all, [("EIO", "Input/output error"), ("ENOMEM", "Cannot allocate memory")])
    func readErrorSurfacesAndPasses(_ client: Client, _ error: (name: String, text: String)) async throws {
      try await withTemporaryDirectory { directory in
        let trigger = directory / "trigger"
        let server = ServerKind.nbdkit([
          "--filter=error", "pattern", "1M", "error-pread=\(error.name)", "error-pread-rate=100%",
          "error-pread-file=\(trigger)",
        ])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let read = ["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"]
          try await mount.succeed(read)
          try Data().write(to: URL(filePath: trigger))
          let failing = try await mount.run(read)
          #expect(failing.stderr.contains(error.text))
          try FileManager.default.removeItem(atPath: trigger)
          try await mount.succeed(read)
        }
      }
    }

    @Test(arguments: Client.all, [("EIO", "Input/output error"), ("ENOSPC", "No space left on device")])
    func writeErrorSurfacesAtTheLatestWithFsync(
      _ client: Client, _ error: (name: String, text: String)
    ) async throws {
      try await withTemporaryDirectory { directory in
        let trigger = directory / "trigger"
        let server = ServerKind.nbdkit([
          "--filter=error", "memory", "1M", "error-pwrite=\(error.name)", "error-pwrite-rate=100%",
          "error-pwrite-file=\(trigger)",
        ])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let write = copyRange(4096, 4096, from: "/dev/zero", to: mount.file)
          try Data().write(to: URL(filePath: trigger))
          let failing = try await mount.run(write)
          #expect(!failing.succeeded)
          #expect(failing.stderr.contains(error.text))
          try FileManager.default.removeItem(atPath: trigger)
          try await mount.succeed(write)
        }
      }
    }
  }
}

/// Fills the disk through one mount and compares it through another.
func expectRoundTrip(
  _ kind: ServerKind, size: UInt64, export: String = "", by client: Client, in directory: TemporaryDirectory
) async throws {
  let source = try await Pattern.file("source", size: size, in: directory)
  try await withServer(kind, in: directory) { server in
    try await client.mount(server, export: export, in: directory) { mount in
      let found = try await statField("%s", of: mount.file, mount)
      #expect(found == "\(size)")
      try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=256k", "conv=notrunc,fsync"])
    }
    // The cow filter's overlay, too, lives as long as the server.
    try await client.mount(server, export: export, in: directory) { mount in
      try await mount.succeed(["cmp", source, mount.file])
    }
  }
}
