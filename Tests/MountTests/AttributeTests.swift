import Foundation
import TestSupport
import Testing

extension MountTests {
  @Suite struct AttributeTests {
    static let server = ServerKind.nbdkit(["memory", "10M"])

    @Test(arguments: Client.perEngine)
    func ownerMayTouchAndChangeTheMode(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(Self.server, by: client, in: directory) { mount in
          try await mount.succeed(["touch", mount.file])
          try await mount.succeed(["chmod", "0600", mount.file])
          try await mount.succeed(["touch", "--date=2001-02-03", mount.file])
        }
      }
    }

    @Test(arguments: Client.perEngine, [("600", "755", []), ("400", "555", ["-r"])])
    func modesAreTheMountingUsersAlone(
      _ client: Client, _ what: (file: String, directory: String, options: [String])
    ) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(Self.server, options: what.options, by: client, in: directory) { mount in
          let file = try await statField("%a %u %F", of: mount.file, mount)
          let parent = try await statField("%a %u %F", of: mount.mountpoint, mount)
          #expect(file == "\(what.file) \(getuid()) regular file")
          #expect(parent == "\(what.directory) \(getuid()) directory")
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func directoryListsTheFileAlone(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(Self.server, by: client, in: directory) { mount in
          let listing = try await mount.succeed(["ls", "-a", mount.mountpoint])
          #expect(listing.stdout.split(separator: "\n") == [".", "..", "nbd"])
          let missing = try await mount.run(["cat", "\(mount.mountpoint)/other"])
          #expect(missing.stderr.contains("No such file or directory"))
          let creating = try await mount.run(["mkdir", "\(mount.mountpoint)/other"])
          #expect(creating.stderr.contains("Operation not permitted"), "\(creating)")
        }
      }
    }

    /// df shows a disk that is full: there is no room for other files.
    @Test(arguments: Client.perEngine)
    func fileSystemIsAsBigAsTheDiskAndFull(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(Self.server, by: client, in: directory) { mount in
          let fields = try await statField("%S %b %f %a", of: mount.file, mount, followingSystem: true)
            .split(separator: " ").compactMap { UInt64($0) }
          try #require(fields.count == 4)
          #expect(fields[0] * fields[1] == 10 * mib)
          #expect(fields[2...] == [0, 0])
        }
      }
    }

    /// The second of the precise clock. That of `time` runs up to a tick behind it, and so may lie before what was set by this one.
    func secondsNow() -> Int { Int(Date().timeIntervalSince1970) }

    @Test(arguments: Client.perEngine)
    func modificationTimeIsOfThisMount(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let before = time(nil)
        try await withMountedServer(Self.server, by: client, in: directory) { mount in
          func modified() async throws -> Int {
            try #require(Int(try await statField("%Y", of: mount.file, mount)))
          }
          let mounted = try await modified()
          #expect((before...secondsNow()).contains(mounted))
          try await mount.succeed(["touch", "--date=@1000000000", mount.file])
          let writing = time(nil)
          try await mount.succeed(copyRange(0, 4096, from: "/dev/zero", to: mount.file))
          let written = try await modified()
          #expect((writing...secondsNow()).contains(written))
        }
      }
    }
  }

  @Suite struct ReadOnlyTests {
    enum Reason: String, CaseIterable, Sendable {
      case option = "-r"
      case nbdkit = "nbdkit -r"
      case qemuNBD = "qemu-nbd --read-only"
      case nbdServer = "nbd-server readonly"
    }

    @Test(arguments: Client.perEngine, Reason.allCases)
    func readsButRefusesToBeWritten(_ client: Client, _ reason: Reason) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        let server: ServerKind =
          switch reason {
          case .option: .nbdkit(["file", image])
          case .nbdkit: .nbdkit(["-r", "file", image])
          case .qemuNBD: .qemuNBD(["--format=raw", "--read-only", image])
          case .nbdServer: .nbdServer(image: image, options: ["readonly = true"])
          }
        try await withMountedServer(
          server, export: reason == .nbdServer ? "disk" : "", options: reason == .option ? ["-r"] : [], by: client,
          in: directory
        ) { mount in
          try await mount.succeed(["cmp", image, mount.file])
          let output = try await mount.run(["dd", "if=/dev/zero", "of=\(mount.file)", "conv=notrunc", "count=1"])
          let punched = try await mount.run(["fallocate", "--punch-hole", "--length", "4096", mount.file])
          for refused in [output, punched] {
            #expect(["Read-only file system", "Permission denied"].contains { refused.stderr.contains($0) }, "\(refused)")
          }
          let mode = try await statField("%a", of: mount.file, mount)
          #expect(mode == "400")
          #expect(mount.entry?.options.contains("ro") == true)
        }
      }
    }
  }
}
