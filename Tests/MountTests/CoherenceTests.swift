import TestSupport
import Testing

extension MountTests {
  /// What a program sees of what others write to the export meanwhile, by cache mode.
  @Suite struct CoherenceTests {
    /// When the kernel asks the server again.
    enum Freshness: CaseIterable, Sendable {
      case always, atOpen, never

      var options: [[String]] {
        switch self {
        case .always: [["--cache", "none"], ["-o", "direct_io"], ["-r", "--cache", "none"]]
        case .atOpen: [["--cache", "writethrough"], ["-r"]]
        case .never: [[], ["--cache", "writethrough", "-o", "kernel_cache"], ["-r", "-o", "kernel_cache"]]
        }
      }

      static let modes = allCases.flatMap { freshness in freshness.options.map { (freshness, $0) } }
    }

    /// Somebody has the file open all the time, so that the kernel has no reason of its own to forget it.
    @Test(arguments: Client.perEngine, Freshness.modes)
    func anotherClientsWritesAreSeen(_ client: Client, _ mode: (freshness: Freshness, options: [String])) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 64 * kib)
        try await succeed(["sh", "-c", "yes old | head -c 64k >\"$1\"", "sh", image])
        try await withMountedServer(.nbdkit(["file", image]), options: mode.options, by: client, in: directory) { mount in
          let output = try await mount.succeed([
            "bash", "-c",
            """
            set -e
            exec 3<"$1"
            dd bs=4k count=1 status=none <&3 >/dev/null
            cat "$1" >/dev/null
            yes new | head -c 64k | dd of="$2" conv=notrunc status=none
            dd bs=4k count=1 status=none <&3 | head -n 1
            head -n 1 "$1"
            """, "bash", mount.file, image,
          ])
          let expected =
            switch mode.freshness {
            case .always: ["new", "new"]
            case .atOpen: ["old", "new"]
            case .never: ["old", "old"]
            }
          #expect(output.stdout.split(separator: "\n").map(String.init) == expected)
        }
      }
    }

    /// A write has reached the server when it returns, but for the writeback cache.
    @Test(arguments: Client.perEngine, ["writethrough", "none"])
    func writesAreSeenByOthersAtOnce(_ client: Client, _ cache: String) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 64 * kib)
        try await withMountedServer(.nbdkit(["file", image]), options: ["--cache", cache], by: client, in: directory) { mount in
          // While the file is open, so that it was not the close.
          let output = try await mount.succeed([
            "sh", "-c", "(printf disk; head -c 4 \"$2\" >&2) >\"$1\"", "sh", mount.file, image,
          ])
          #expect(output.stderr == "disk")
        }
      }
    }

    /// Either the kernel and libfuse can map a file that is not cached, or the program is told; never wrong data.
    @Test(arguments: Client.all)
    func sharedMappingWithoutACacheWorksOrIsRefused(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: mib)
        let expected = try directory.sparseFile("expected", size: mib)
        let write = { xfsIO("mmap -rw 0 1m", "mwrite -S 0x5a 100 5000", "msync -s 0 1m", on: $0) }
        try await withMountedServer(.nbdkit(["file", image]), options: ["--cache", "none"], by: client, in: directory) { mount in
          let output = try await mount.run(write(mount.file))
          if "\(output)".contains("No such device") { return }
          try #require(output.succeeded, "\(output)")
          try await succeed(write(expected))
          try await mount.succeed(["cmp", expected, mount.file])
        }
      }
    }
  }
}
