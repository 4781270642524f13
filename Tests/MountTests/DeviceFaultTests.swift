import TestSupport
import Testing

extension MountTests {
  /// System calls on /dev/fuse that fail, made so by strace: no caller hangs, and the mount stays.
  @Suite struct DeviceFaultTests {
    static let server = ServerKind.nbdkit(["pattern", "16M"])
    static let reactor = Client.perEngine.filter { $0.engine == .reactor }

    @Test(arguments: reactor, ["ENOMEM", "EIO", "EFAULT", "EINTR"])
    func failedReadOfARequestIsRepeated(_ client: Client, _ error: String) async throws {
      try await withFaults("read:error=\(error):when=2..4", client) { mount in
        for _ in 0..<5 { try await mount.succeed(read(mount), within: .seconds(20)) }
      }
    }

    /// Of the threads engine, libfuse reads the requests, and stops at any failure.
    @Test(arguments: Client.perEngine)
    func readsThatFailForGoodEndTheMountWithAnError(_ client: Client) async throws {
      try await withFaults("read,readv,splice:error=EIO:when=2+", client) { mount in
        let output = try await mount.run(read(mount), within: .seconds(30))
        #expect(!output.succeeded)
        let status = try await mount.process.exitStatus(within: .seconds(30))
        #expect(status == .exited(1))
        #expect(mount.process.stderr.contains("serving the mount failed"))
        #expect(mount.entry == nil)
      }
    }

    /// Of the threads engine, libfuse gives the answers, and it cannot be told to try again.
    @Test(arguments: reactor, ["ENOMEM", "EFAULT", "EINTR", "EAGAIN"])
    func failedAnswerIsRepeated(_ client: Client, _ error: String) async throws {
      try await withFaults("write:error=\(error):when=1..3", client) { mount in
        for _ in 0..<5 { try await mount.succeed(read(mount), within: .seconds(20)) }
      }
    }

    /// The answer cannot be given, but an error can.
    @Test(arguments: reactor, ["write:error=EINVAL:when=1", "writev:error=ENOMEM:when=1"])
    func answerThatIsLostBecomesAnError(_ client: Client, _ fault: String) async throws {
      try await withFaults(fault, client) { mount in
        var failures = 0
        for _ in 0..<3 where try await !mount.run(read(mount), within: .seconds(20)).succeeded { failures += 1 }
        #expect(failures == 1)
        #expect(mount.process.stderr.contains("did not take an answer"))
      }
    }

    /// Opening goes through libfuse, which answers with writev; reading does not.
    private func read(_ mount: Mount) -> [String] {
      ["dd", "if=\(mount.file)", "of=/dev/null", "bs=64k", "count=4", "iflag=direct"]
    }

    /// Runs `body` with a mount whose calls on its device fail as `fault` says.
    private func withFaults(_ fault: String, _ client: Client, _ body: (Mount) async throws -> Void) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(Self.server, by: client, in: directory) { mount in
          let options = ["-P", "/dev/fuse", "-e", "inject=\(fault)"]
          try await withTrace(of: mount, options, to: directory / "strace") { try await body(mount) }
        }
      }
    }
  }
}
