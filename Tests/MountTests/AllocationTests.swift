import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What takes space on the server, and what the file says of it.
  @Suite struct AllocationTests {
    enum Punching: String, CaseIterable, Sendable {
      case nbdkit = "nbdkit file"
      case qemu = "qemu-nbd discard=unmap"

      func kind(_ image: String) -> ServerKind {
        switch self {
        case .nbdkit: .nbdkit(["file", image])
        case .qemu: .qemuNBD(["--format=raw", "--discard=unmap", image])
        }
      }
    }

    /// Punching gives space back, zeroing takes it.
    @Test(arguments: Client.perEngine, Punching.allCases)
    func punchedRangesAreFreedAndZeroedOnesAllocated(_ client: Client, _ server: Punching) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: 4 * mib, in: directory)
        func blocks() async throws -> UInt64 {
          try await succeed(["sync", image])
          let output = try await succeed(["stat", "-c", "%b", image]).stdout
          return try #require(UInt64(output.trimmingCharacters(in: .whitespacesAndNewlines)))
        }
        let full = try await blocks()
        try await withMountedServer(server.kind(image), by: client, in: directory) { mount in
          try await mount.succeed(ZeroingRequest.punchHole.command(mib, 2 * mib, on: mount.file))
          let punched = try await blocks()
          #expect(punched <= full - 2 * mib / 512)
          try await mount.succeed(ZeroingRequest.zeroRange.command(mib, 2 * mib, on: mount.file))
          let zeroed = try await blocks()
          #expect(zeroed >= full)
        }
      }
    }

    /// What a writer's pages hold, and the server has not seen, is no hole to a copy.
    @Test(arguments: Client.perEngine)
    func aCopyBesideAWriterHasWhatWasWritten(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let copy = directory / "copy"
        try await withMountedServer(.nbdkit(["memory", "64M"]), by: client, in: directory) { mount in
          // The descriptor stays open, so that nothing is flushed.
          let script = "exec 3<>\"$1\"; printf written >&3; cp --sparse=always \"$1\" \"$2\"; head -c 7 \"$2\""
          let output = try await mount.succeed(["sh", "-c", script, "sh", mount.file, copy])
          #expect(output.stdout == "written")
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func everythingIsDataBesideAWriter(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "64M"]), by: client, in: directory) { mount in
          let output = try await mount.succeed(xfsIO("pwrite -q 1m 64k", "seek -a -r 0", on: mount.file)).stdout
          let words = output.split(whereSeparator: \.isWhitespace).suffix(4)
          #expect(Array(words) == ["DATA", "0", "HOLE", "\(64 * mib)"])
        }
      }
    }

    /// Nobody may ever look at the count of blocks: looking for holes in a large export has to come to an end.
    @Test(arguments: Client.perEngine, ["1P", "8E"])
    func theSearchForHolesIsBounded(_ client: Client, _ size: String) async throws {
      try await withTemporaryDirectory { directory in
        let log = directory / "log"
        let size = size == "8E" ? "\(UInt64(Int64.max))" : size
        let server = ServerKind.nbdkit(["--filter=log", "memory", size, "logfile=\(log)"])
        func questions() throws -> Int {
          try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").count { $0.contains(" Extents ") }
        }
        try await withMountedServer(server, by: client, in: directory) { mount in
          // The search is over when the file is known to have holes and no more questions come.
          var before = -1
          for _ in 0..<100 where try questions() != before {
            before = try questions()
            try await Task.sleep(for: .milliseconds(200))
          }
          let asked = try questions()
          #expect((1...300).contains(asked), "\(mount.process.stderr)")
        }
      }
    }
  }
}
