import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What `nbdmount` does not mount over, and that it does not touch it.
  @Suite struct MountpointRefusalTests {
    /// In a current directory of its own: what a mistyped name would have covered.
    @Test(arguments: Client.perEngine)
    func aMistypedNameCoversNothing(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let home = try directory.subdirectory("home")
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          let output = try await run([
            "sh", "-c", "cd \"$0\" && exec \"$@\"", home, try Layout.nbdmount(), "--engine", client.engine.rawValue, "dirr",
            server.uri(),
          ])
          #expect(output.status == .exited(1))
          #expect(output.stderr.hasPrefix("nbdmount: no such directory: dirr; make it first, or write ./dirr "))
          #expect(MountTable.entry(at: home) == nil)
        }
      }
    }

    @Test(arguments: Client.perEngine, ["", "/nbd", "/another"])
    func aMountThatIsInUseIsNotHidden(_ client: Client, _ name: String) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            let output = try await run([
              try Layout.nbdmount(), "--engine", client.engine.rawValue, mount.mountpoint + name, server.uri(),
            ])
            #expect(output.status == .exited(1))
            #expect(output.stderr.contains("\(server.uri()) is mounted there already"))
            #expect(output.stderr.hasSuffix("fusermount3 -u \(mount.mountpoint)\n"))
            #expect(MountTable.current().count { $0.mountpoint.hasPrefix(mount.mountpoint) } == 1)
          }
        }
      }
    }

    /// At once, while the kernel still has the attributes of the dead mount.
    @Test(arguments: Client.perEngine)
    func aMountWhoseDaemonWasKilledMakesRoom(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let place = Mount.Place.directory(try directory.subdirectory("mnt"))
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withMount([server.uri()], engine: client.engine, at: place, in: directory) { mount in
            try await mount.succeed(["stat", mount.mountpoint])
            #expect(try await mount.end(SIGKILL) == .signaled(SIGKILL))
            try await withMount([server.uri()], engine: client.engine, at: place, in: directory) { second in
              #expect(second.process.stderr.contains("note: removed the dead mount at \(mount.mountpoint)"))
              try await second.succeed(["cmp", "--bytes=512", "/dev/zero", second.file])
            }
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func aLinkIsResolvedAndItsTargetIsUnmounted(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let target = try directory.subdirectory("target")
        let link = directory / "link"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withMount([server.uri()], engine: client.engine, at: .directory(link), in: directory) { mount in
            #expect(MountTable.entry(at: target) != nil)
            // As the README says.
            try await succeed(["sh", "-c", "fusermount3 -u \"$(realpath \"$0\")\"", link])
            #expect(try await mount.process.exitStatus(within: .seconds(20)) == .success)
          }
        }
      }
    }
  }
}
