import Foundation
import TestSupport
import Testing

extension MountTests {
  /// `--background`: the command returns, and the mount stays.
  @Suite struct BackgroundTests {
    /// Runs `nbdmount --background` by `launcher` to its end, and then `body` with the process that serves. All is gone
    /// afterwards.
    private func withBackground(
      _ mode: [String], by client: Client, in directory: TemporaryDirectory, launcher: [String] = [],
      environment: [String: String] = [:],
      inheriting: [Int32] = [], _ body: (_ mountpoint: String, _ process: pid_t) async throws -> Void
    ) async throws {
      let mountpoint = try directory.subdirectory("mnt\(UInt32.random(in: 0 ... .max))")
      let pidFile = mountpoint + ".pid"
      let options = ["--engine", client.engine.rawValue, "-C", "\(client.connections)", "--background", "-P", pidFile]
      let command = try ChildProcess(
        launcher + [try Layout.nbdmount()] + options + [mountpoint] + mode, environment: environment,
        inheriting: inheriting)
      guard try await command.exitStatus(within: .seconds(20)) == .success else { throw TestFailure(command.stderr) }
      do {
        let text = try String(contentsOfFile: pidFile, encoding: .utf8)
        let process = try #require(pid_t(text.trimmingCharacters(in: .newlines)))
        try await body(mountpoint, process)
        try await succeed(["fusermount3", "-u", mountpoint])
        // Its parent is gone: who reaps it does so when it likes, and until then it has no program.
        try await poll("the end of process \(process)", within: .seconds(20)) {
          (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/exe")) == nil
        }
        #expect(!FileManager.default.fileExists(atPath: pidFile))
      } catch {
        _ = try? await run(["umount", "-l", mountpoint])
        throw error
      }
    }

    @Test(arguments: Client.all)
    func theCommandReturnsAndTheMountStays(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          try await withBackground([server.uri()], by: client, in: directory) { mountpoint, process in
            try await succeed(["cmp", image, mountpoint + "/nbd"])
            for descriptor in 0...2 {
              let target = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/\(descriptor)")
              #expect(target == "/dev/null")
            }
          }
        }
      }
    }

    /// `x=$(nbdmount --background ...)`, a step of a pipeline and ssh wait until nobody has the output open.
    @Test(arguments: Client.perEngine, [["[", "nbdkit", "memory", "1M", "]"], ["--command", "nbdkit", "-s", "memory", "1M"]])
    func aStartedServerDoesNotKeepTheCallersOutput(_ client: Client, _ mode: [String]) async throws {
      try await withTemporaryDirectory { directory in
        let waiting = ["sh", "-c", "x=$(\"$@\" 2>&1) && test -z \"$x\"", "sh"]
        try await withBackground(mode, by: client, in: directory, launcher: waiting) { mountpoint, _ in
          try await succeed(["cmp", "--bytes=512", "/dev/zero", mountpoint + "/nbd"])
        }
      }
    }

    /// More than a pipe holds: nobody reads it any more, and the server goes on.
    @Test(arguments: Client.perEngine)
    func aServerThatTalksIsNotStopped(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let script = """
          case $1 in
            get_size) echo 1M ;;
            pread) head -c 200000 /dev/zero | tr '\\0' x >&2; head -c $3 /dev/zero ;;
            *) exit 2 ;;
          esac
          """
        let program = directory / "server.sh"
        try ("#!/bin/sh\n" + script).write(toFile: program, atomically: false, encoding: .utf8)
        try await succeed(["chmod", "+x", program])
        let mode = ["[", "nbdkit", "-v", "sh", program, "]"]
        try await withBackground(mode, by: client, in: directory) { mountpoint, _ in
          try await succeed(["cmp", "--bytes=100000", "/dev/zero", mountpoint + "/nbd"], within: .seconds(60))
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func whatTheServerSaysBeforeItFailsIsShown(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let output = try await run([
          try Layout.nbdmount(), "--engine", client.engine.rawValue, "--background", try directory.subdirectory("mnt"),
          "[", "nbdkit", "memory", "size=nonsense", "]",
        ])
        #expect(output.status == .exited(1))
        #expect(output.stderr.contains("nbdkit: error: "), "\(output)")
        #expect(output.stderr.contains("nbdmount: "), "\(output)")
      }
    }

    @Test(arguments: Client.perEngine, 0...2)
    func theServerMayBeAStandardDescriptor(_ client: Client, _ number: Int) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          guard case .unix(let path) = server.endpoint else { throw TestFailure("not a Unix socket") }
          let descriptor = try UnixSocket.connect(to: path)
          defer { close(descriptor) }
          let launcher = ["bash", "-c", "exec \"$@\" \(number)<&\(descriptor)", "bash"]
          try await withBackground(
            ["--fd", "\(number)"], by: client, in: directory, launcher: launcher, inheriting: [descriptor]
          ) { mountpoint, _ in
            try await succeed(["cmp", image, mountpoint + "/nbd"])
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func theMemoryOfTheProcessThatServesIsLocked(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withBackground([server.uri(), "--mlock"], by: client, in: directory) { _, process in
            let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmLck:") })
            #expect(Int(line.filter(\.isNumber)) ?? 0 > 0)
          }
        }
      }
    }

    /// Not the process that it started: the one that serves, whose number it needs.
    @Test(arguments: Client.perEngine)
    func theServiceManagerHearsOfTheProcessThatServes(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let manager = try NotifySocket(in: directory)
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withBackground(
            [server.uri()], by: client, in: directory, environment: ["NOTIFY_SOCKET": manager.path]
          ) { _, process in
            #expect(manager.received() == ["READY=1\nMAINPID=\(process)\n"])
          }
          #expect(manager.received().last == "STOPPING=1\n")
        }
      }
    }
  }
}
