import Foundation
import Glibc
import TestSupport
import Testing

extension MountTests {
  @Suite struct ClockTests {
    /// By a clock that somebody may set back, a wait would last so much longer.
    @Test(arguments: Client.perEngine)
    func nobodyWaitsByTheTimeOfDay(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let log = directory / "strace"
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await withTrace(of: mount, ["-e", "trace=futex"], to: log) {
              try await mount.succeed(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=20", "iflag=direct"])
              let waits = timedWaits(log).count
              // The end waits for the server to hang up.
              try await server.suspend()
              try await succeed(["fusermount3", "-u", mount.mountpoint])
              try await poll("a wait with a time limit", within: .seconds(20)) { timedWaits(log).count > waits }
              server.signal(SIGCONT)
              #expect(try await mount.process.exitStatus(within: .seconds(30)) == .success)
            }
          }
        }
        #expect(timedWaits(log).filter { $0.contains("FUTEX_CLOCK_REALTIME") } == [])
      }
    }

    /// The lines of a trace that are waits with a time limit.
    private func timedWaits(_ log: String) -> [Substring] {
      ((try? String(contentsOfFile: log, encoding: .utf8)) ?? "").split(separator: "\n")
        .filter { $0.contains("FUTEX_WAIT") && $0.contains("{tv_sec=") }
    }
  }
}
