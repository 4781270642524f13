import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Ends of mounts that are not, or not only, where they were made; or whose surroundings are poor.
  @Suite struct EndingPlaceTests {
    @Test(arguments: Client.perEngine)
    func aCopyInAnotherMountNamespaceKeepsNobody(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          let unshare = ["unshare", "--mount", "--propagation", "private"]
          try await withChildProcess(unshare + ["sh", "-c", "echo in; exec sleep 1000"]) { other in
            try await poll("the other namespace", within: .seconds(10)) { other.stdout.contains("in") }
            _ = try await mount.end(SIGTERM, within: .seconds(15))
          }
          try expectEnded(mount, .success, in: directory)
        }
      }
    }

    /// The mount is found by its number, wherever its directory has gone.
    @Test(arguments: Client.perEngine)
    func aDirectoryAboveItMayBeRenamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        let image = try directory.sparseFile("image", size: mib)
        let parent = try directory.subdirectory("before")
        let mountpoint = try directory.subdirectory("before/mnt")
        try await withServer(cachingServer(over: image), in: directory) { server in
          try await withMount([server.uri()], engine: client.engine, at: .directory(mountpoint), in: directory) { mount in
            try await withWriter(of: source, on: mount) { _ in
              try await succeed(["mv", parent, directory / "after"])
              _ = try await mount.end(SIGTERM, within: .seconds(15))
            }
            #expect(MountTable.entry(at: directory / "after/mnt") == nil)
            try expectEnded(mount, .success, in: directory)
          }
          try await server.crash()
        }
        try await succeed(["cmp", source, image])
      }
    }

    @Test(arguments: Client.perEngine)
    func aMountThatWasDetachedWhileInUseEndsAtASignal(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          try await withChildProcess(["sh", "-c", "exec 3<\"$1\"; exec sleep 1000", "sh", mount.file]) { reader in
            try await reader.waitUntilItHolds(mount.file)
            try await succeed(["umount", "--lazy", mount.mountpoint])
            #expect(await mount.process.ended.value(within: .milliseconds(300)) == nil, "somebody has it open")
            _ = try await mount.end(SIGTERM, within: .seconds(15))
          }
          try expectEnded(mount, .success, in: directory)
        }
      }
    }

    /// What another mount covers is not ours to unmount.
    @Test(arguments: Client.perEngine)
    func aMountOnTopOfItStays(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          try await succeed(["mount", "-t", "tmpfs", "upper", mount.mountpoint])
          let status = try await mount.end(SIGTERM, within: .seconds(15))
          #expect(status == .exited(1), "its own mount is still there")
          #expect(mount.entry?.source == "upper")
          // The upper one, then the dead one.
          for _ in 0..<2 { try await succeed(["umount", "--lazy", mount.mountpoint]) }
        }
      }
    }

    /// An abort loses what the kernel has not written back, and leaves a mount that nobody can use.
    @Test(arguments: Client.perEngine)
    func anAbortFromOutsideIsAFailure(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          let entry = try #require(mount.entry)
          try FuseConnection(entry).abort()
          _ = try await mount.process.exitStatus(within: .seconds(15))
          #expect(mount.process.stderr.contains("aborted"))
          try expectEnded(mount, .exited(1), in: directory)
        }
      }
    }

    /// After `kill -9` the directory can be mounted on again.
    @Test(arguments: Client.perEngine)
    func aDeadMountIsReplaced(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let mountpoint = try directory.subdirectory("mnt")
        try await withServer(.nbdkit(["pattern", "1M"]), in: directory) { server in
          try await withMount([server.uri()], engine: client.engine, at: .directory(mountpoint), in: directory) { mount in
            mount.process.signal(SIGKILL)
            _ = try await mount.process.exitStatus(within: .seconds(10))
            #expect(mount.entry != nil, "the dead mount")
            try await withMount([server.uri()], engine: client.engine, at: .directory(mountpoint), in: directory) { mount in
              #expect(mount.process.stderr.contains("removed the dead mount at \(mountpoint)"))
              try await mount.succeed(["cat", mount.file])
            }
          }
        }
      }
    }

    /// Neither fusermount3 nor umount nor sync has to be found.
    @Test(arguments: Client.perEngine)
    func noProgramIsNeededToUnmount(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        let image = try directory.sparseFile("image", size: mib)
        try await withServer(cachingServer(over: image), in: directory) { server in
          try await withMount(
            [server.uri()], engine: client.engine, in: directory, launcher: ["/usr/bin/env", "PATH="]
          ) { mount in
            try await withWriter(of: source, on: mount) { _ in
              _ = try await mount.end(SIGTERM, within: .seconds(15))
            }
            try expectEnded(mount, .success, in: directory)
          }
          try await server.crash()
        }
        try await succeed(["cmp", source, image])
      }
    }

    /// The end needs descriptors when there are none left.
    @Test(arguments: Client.perEngine)
    func noFreeDescriptorIsNeededToUnmount(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(mount.process.pid)/fd").compactMap { Int($0) }
          let limit = try #require((0...).first { !open.contains($0) })
          try await succeed(["prlimit", "--pid", "\(mount.process.pid)", "--nofile=\(limit)"])
          _ = try await mount.end(SIGTERM, within: .seconds(15))
          try expectEnded(mount, .success, in: directory)
        }
      }
    }
  }
}
