import Foundation
import TestSupport
import Testing

extension MountTests {
  /// The ends of mounts that a user without rights serves: another process has kept the right to unmount.
  @Suite struct PrivilegedEndTests {
    /// Writing back hangs then, and is given up; and a second signal ends at once, past the request that hangs.
    @Test(arguments: Client.perEngine, [false, true])
    func aServerThatHangsIsNotWaitedFor(_ client: Client, _ isImpatient: Bool) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(try PrivilegeDropTests.disk(directory), over: .tcp, in: directory) { server in
          try await client.mount(server, options: PrivilegeDropTests.drop, in: directory) { mount in
            let helpers = try mount.process.children()
            try await withWriter(of: source, on: mount) { _ in
              try await server.suspend()
              mount.process.signal(SIGTERM)
              if isImpatient {
                // What makes the second one count is the time between them.
                try await Task.sleep(for: .milliseconds(1100))
                mount.process.signal(SIGTERM)
              }
              _ = try await mount.process.exitStatus(within: isImpatient ? .seconds(5) : .seconds(25))
              try expectEnded(mount, .exited(1), in: directory)
            }
            try await PrivilegeDropTests.expectGone(helpers)
            server.signal(SIGCONT)
          }
        }
      }
    }

    /// Aborted by somebody else: what is left of it is detached.
    @Test(arguments: Client.perEngine)
    func anAbortedMountIsDetached(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try PrivilegeDropTests.disk(directory), over: .tcp, in: directory) { server in
          try await client.mount(server, options: PrivilegeDropTests.drop, in: directory) { mount in
            try FuseConnection(try #require(mount.entry)).abort()
            _ = try await mount.process.exitStatus(within: .seconds(15))
            try expectEnded(mount, .exited(1), in: directory)
          }
        }
      }
    }

    /// Where the first mount is gone, what is left under its device is not the monitor's to touch: no success is said then.
    @Test(arguments: Client.perEngine)
    func anotherPlaceOfTheMountIsNotTakenForWritten(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try PrivilegeDropTests.disk(directory), over: .tcp, in: directory) { server in
          try await client.mount(server, options: PrivilegeDropTests.drop, in: directory) { mount in
            let other = try directory.subdirectory("other")
            try await mount.succeed(["mount", "--bind", mount.mountpoint, other])
            try await mount.succeed(["umount", mount.mountpoint])
            let status = try await mount.end(SIGTERM, within: .seconds(20))
            _ = try await run(["umount", "-l", other])
            #expect(status == .exited(1))
            #expect(mount.process.stderr.contains("not mounted any more where it was made"), "\(mount.process.stderr)")
          }
        }
      }
    }

    /// Without the process that kept the right to unmount there is an end, too, and it says what is left.
    @Test(arguments: Client.perEngine)
    func withoutTheMonitorADeadMountIsLeft(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try PrivilegeDropTests.disk(directory), over: .tcp, in: directory) { server in
          try await client.mount(server, options: PrivilegeDropTests.drop, in: directory) { mount in
            // Who writes the pid file answers afterwards, and must not be killed before: its thread ends then.
            let monitor = try #require(try mount.process.children().first)
            try await poll("the answer", within: .seconds(10)) {
              try FileManager.default.contentsOfDirectory(atPath: "/proc/\(monitor)/task").count == 1
            }
            for process in try mount.process.children() { kill(process, SIGKILL) }
            try await mount.succeed(copyRange(0, 4096, from: "/dev/zero", to: mount.file))
            let status = try await mount.end(SIGTERM, within: .seconds(20))
            #expect(status == .exited(1))
            #expect(mount.process.stderr.contains("cannot unmount: the process that kept the right to do it is gone"))
            #expect(mount.entry != nil)
          }
        }
      }
    }

    /// Signals that a service manager sends to all processes of a service.
    @Test(arguments: Client.perEngine)
    func theMonitorOutlivesASignalToAll(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try PrivilegeDropTests.disk(directory), over: .tcp, in: directory) { server in
          try await client.mount(server, options: PrivilegeDropTests.drop, in: directory) { mount in
            let helpers = try mount.process.children()
            for process in helpers { kill(process, SIGTERM) }
            _ = try await mount.end(SIGTERM, within: .seconds(20))
            try expectEnded(mount, .success, in: directory)
            try await PrivilegeDropTests.expectGone(helpers)
          }
        }
      }
    }

    /// With a pid file that cannot be written the mount goes again, although who finds that out may not unmount.
    @Test(arguments: Client.perEngine)
    func whatFailsAfterwardsLeavesNothing(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try PrivilegeDropTests.disk(directory), over: .tcp, in: directory) { server in
          let mountpoint = try directory.subdirectory("mnt")
          let options = PrivilegeDropTests.drop + ["--engine", client.engine.rawValue, "-P", "/nbdmount-no-such-directory/pid"]
          let output = try await run([try Layout.nbdmount()] + options + [mountpoint, server.uri()])
          #expect(output.status == .exited(1), "\(output)")
          #expect(output.stderr == "nbdmount: writing the pid file /nbdmount-no-such-directory/pid: No such file or directory\n")
          #expect(MountTable.entry(at: mountpoint) == nil)
        }
      }
    }
  }
}
