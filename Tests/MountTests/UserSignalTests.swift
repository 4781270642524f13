import Glibc
import TestSupport
import Testing

extension MountTests {
  /// SIGUSR1 is kept for a report: until there is one, it does nothing, where its default would end the process.
  @Suite struct UserSignalTests {
    @Test(arguments: Client.perEngine)
    func aUserSignalIsNothingToTheMount(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["pattern", "1M"]), by: client, in: directory) { mount in
          // A mount that nobody uses ends in less time after a signal.
          for _ in 0..<5 {
            mount.process.signal(SIGUSR1)
            try await Task.sleep(for: .milliseconds(100))
          }
          #expect(mount.entry != nil)
          #expect(mount.process.ended.value == nil, "\(mount.process.stderr)")
        }
      }
    }
  }
}
