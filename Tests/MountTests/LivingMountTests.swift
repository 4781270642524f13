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
  }
}
