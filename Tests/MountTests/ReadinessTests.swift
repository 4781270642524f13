import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Who is told that the mount is there, and that it ends.
  @Suite struct ReadinessTests {
    /// As systemd does for `Type=notify`.
    @Test(arguments: Client.perEngine)
    func theServiceManagerIsTold(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let manager = try NotifySocket(in: directory)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withMount(
            [server.uri()], engine: client.engine, in: directory, launcher: ["env", "NOTIFY_SOCKET=\(manager.path)"]
          ) { mount in
            // The pid file comes before.
            try await poll("READY=1", within: .seconds(10)) { manager.received() == ["READY=1\n"] }
            #expect(try await mount.end(SIGTERM) == .success)
            #expect(manager.received() == ["READY=1\n", "STOPPING=1\n"])
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func aServiceManagerThatCannotBeToldIsNoReasonToFail(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withMount(
            [server.uri()], engine: client.engine, in: directory, launcher: ["env", "NOTIFY_SOCKET=/nowhere/notify"]
          ) { mount in
            try await mount.succeed(["cat", mount.file])
            #expect(mount.process.stderr.contains("warning: notifying the service manager"))
          }
        }
        #expect(try pidFiles(in: directory) == [])
      }
    }
  }
}
