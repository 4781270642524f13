import Foundation
import TestSupport
import Testing

extension MountTests {
  /// The kernel gives numbers of devices again: at the end of a mount, another one may have its number, and lives.
  @Suite struct LivingMountTests {
    @Test(arguments: Client.perEngine)
    func aMountThatLivesIsNotDetachedAsADeadOne(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          // As nbdmount starts itself for that (Helper.unmount).
          let script = """
            id=$(awk -v path="$1" '$5 == path { print $1 }' /proc/self/mountinfo)
            exec -a nbdmount-unmount "$0" "$1" "$id" if-dead
            """
          let refused = try await mount.run(["bash", "-c", script, try Layout.nbdmount(), mount.mountpoint])
          #expect(refused.status == .exited(2), "\(refused)")
          #expect(mount.entry != nil)
        }
      }
    }

    /// Whoever owns a directory above a mount of root's may put a link in its place: what that leads to is left alone.
    @Test(arguments: Client.perEngine)
    func whatIsReachedByALinkIsLeftAlone(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let file = try directory.sparseFile("file", size: 5)
        let link = directory / "link"
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          try await succeed(["ln", "-s", mount.mountpoint, link])
          // As nbdmount starts itself: what to do, the path, and the number of the mount.
          let script = """
            id=$(awk -v path="$1" '$5 == path { print $1 }' /proc/self/mountinfo)
            exec -a "$2" "$0" "$3" "$id" "$4"
            """
          for (helper, path, last) in [
            ("nbdmount-truncate", file, "1"), ("nbdmount-sync", file, ""), ("nbdmount-unmount", link, "lazily"),
          ] {
            let words = ["bash", "-c", script, try Layout.nbdmount(), mount.mountpoint, helper, path, last]
            let refused = try await mount.run(words)
            #expect(refused.status == .exited(2), "\(refused)")
            #expect(refused.stdout == "something else is mounted at \(path)\n")
          }
          #expect(mount.entry != nil)
          #expect(try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int == 5)
        }
      }
    }
  }
}
