import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What the options of `-o` do to a mount.
  @Suite struct FuseOptionTests {
    static let server = ServerKind.nbdkit(["memory", "4M"])

    @Test(arguments: Client.perEngine)
    func unknownOptionIsNamedInOneLine(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let message = try await refusal(["-o", "nosuchopt,allow_other"], by: client, in: directory)
        #expect(message.hasPrefix("nbdmount: unknown option(s): `-o nosuchopt'"))
        #expect(message.split(separator: "\n").count == 1)
      }
    }

    /// The threads engine has connections at work before it mounts: where that fails, they take their leave.
    @Test(arguments: Client.all.filter { $0.engine == .threads })
    func failedMountDisconnects(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["-v", "memory", "1M"]), in: directory) { server in
          _ = try await refusal(["-o", "nosuchopt"], by: client, of: server, in: directory)
          try await poll("the server to see the end of all connections", within: .seconds(10)) {
            server.process.stderr.components(separatedBy: "NBD_CMD_DISC").count > client.connections
          }
        }
      }
    }

    @Test(arguments: Client.perEngine, ["4096", "65536"])
    func largestReadIsHonoured(_ client: Client, _ size: String) async throws {
      try await withTemporaryDirectory { directory in
        let log = directory / "log"
        let server = ServerKind.nbdkit(["--filter=log", "pattern", "1M", "logfile=\(log)"])
        try await withMountedServer(server, options: ["-o", "max_read=\(size)"], by: client, in: directory) { mount in
          try await mount.succeed(["dd", "if=\(mount.file)", "of=/dev/null", "bs=1M", "iflag=direct"])
          try await mount.succeed(["cat", mount.file])
          #expect(try requestLengths("Read", in: log).max() == UInt64(size))
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func largestWriteIsHonoured(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let log = directory / "log"
        let server = ServerKind.nbdkit(["--filter=log", "memory", "1M", "logfile=\(log)"])
        try await withMountedServer(server, options: ["-o", "max_write=65536"], by: client, in: directory) { mount in
          try await mount.succeed(["dd", "if=/dev/zero", "of=\(mount.file)", "bs=1M", "count=1", "oflag=direct", "conv=notrunc"])
          #expect(try requestLengths("Write", in: log).max() == 65536)
        }
      }
    }

    /// The kernel asks again for what it may not keep.
    @Test(arguments: Client.perEngine)
    func attributesAreKeptForAsLongAsAskedFor(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        for (option, isKept) in [("attr_timeout=0,entry_timeout=0", false), ("attr_timeout=100,entry_timeout=100", true)] {
          try await withMountedServer(Self.server, options: ["-d", "-o", option], by: client, in: directory) { mount in
            try await mount.succeed(["stat", mount.file])
            let first = try await questions(mount, 1)
            try await mount.succeed(["stat", mount.file])
            let second = try await questions(mount, 2)
            let third = try await questions(mount, 3)
            // What removing asks for does not count.
            #expect((second - first == third - second) == isKept, "\(option): \(first), \(second), \(third)")
          }
        }
      }
    }

    /// Names have a time of their own.
    @Test(arguments: Client.perEngine)
    func namesAreKeptForAsLongAsAskedFor(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        for (option, isKept) in [("attr_timeout=100,entry_timeout=0", false), ("attr_timeout=0,entry_timeout=100", true)] {
          try await withMountedServer(Self.server, options: ["-d", "-o", option], by: client, in: directory) { mount in
            try await mount.succeed(["stat", mount.file])
            _ = try await questions(mount, 1)
            let first = shown("LOOKUP", mount)
            try await mount.succeed(["stat", mount.file])
            _ = try await questions(mount, 2)
            #expect((shown("LOOKUP", mount) == first) == isKept, "\(option)")
          }
        }
      }
    }

    /// How often the kernel has asked for the name or its attributes, after a removal, the `count`-th, that is refused: once that
    /// is on standard error, all before it is.
    private func questions(_ mount: Mount, _ count: Int) async throws -> Int {
      _ = try await mount.run(["rm", "-f", mount.file])
      try await poll("the removal to be shown", within: .seconds(10)) { shown("UNLINK", mount) == count }
      return shown("LOOKUP", mount) + shown("GETATTR", mount)
    }

    private func shown(_ name: String, _ mount: Mount) -> Int {
      mount.process.stderr.components(separatedBy: "opcode: \(name) ").count - 1
    }

    /// `-d` has every request go through libfuse, large writes too.
    @Test(arguments: Client.all)
    func debuggingShowsEachRequestAndChangesNone(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 3 * mib, in: directory)
        try await withMountedServer(Self.server, options: ["-d"], by: client, in: directory) { mount in
          try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=1M", "conv=notrunc,fsync"])
          try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=100k", "oflag=direct", "count=20", "conv=notrunc"])
          try await mount.succeed([
            "sh", "-c", "dd if=\"$1\" iflag=direct bs=1M count=3 status=none | cmp - \"$2\"", "sh", mount.file, source,
          ])
          for name in ["READ", "WRITE", "FSYNC", "OPEN"] {
            try await poll("\(name) to be shown", within: .seconds(10)) { shown(name, mount) > 0 }
          }
        }
      }
    }

    /// Requests in flight are many more than the background may have: they wait for their turn, and all come.
    @Test(arguments: Client.perEngine)
    func fewBackgroundRequestsAreEnough(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 4 * mib, in: directory)
        try await withMountedServer(Self.server, options: ["-o", "max_background=1"], by: client, in: directory) { mount in
          let entry = try #require(mount.entry)
          #expect(try FuseConnection(entry).value(of: "max_background") == 1)
          try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=1M", "conv=notrunc,fsync"])
          try await mount.succeed(["cmp", source, mount.file])
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func rootIsLetInAloneWithAllowRoot(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        // libfuse lets in the mounting user, which is root here, and refuses the rest itself.
        try await withMountedServer(Self.server, options: ["-o", "allow_root"], by: client, in: directory) { mount in
          try await mount.succeed(["head", "-c", "1", mount.file])
          let output = try await mount.run(UserTests.nobody + ["head", "-c", "1", mount.file])
          #expect(output.stderr.contains("Permission denied"), "\(output)")
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func mountGoesWithItsProcessWithAutoUnmount(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(Self.server, options: ["-o", "auto_unmount"], by: client, in: directory) { mount in
          mount.process.signal(SIGKILL)
          _ = try await mount.process.exitStatus(within: .seconds(10))
          try await poll("the mount to go", within: .seconds(10)) { mount.entry == nil }
        }
      }
    }

    private func requestLengths(_ command: String, in log: String) throws -> [UInt64] {
      try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").compactMap { line in
        guard line.contains(" \(command) "), let count = line.components(separatedBy: "count=0x").dropFirst().first else { return nil }
        return UInt64(count.prefix { $0.isHexDigit }, radix: 16)
      }
    }

    /// What nbdmount says when it does not mount.
    private func refusal(_ options: [String], by client: Client, in directory: TemporaryDirectory) async throws -> String {
      try await withServer(Self.server, in: directory) { server in
        try await refusal(options, by: client, of: server, in: directory)
      }
    }

    private func refusal(
      _ options: [String], by client: Client, of server: Server, in directory: TemporaryDirectory
    ) async throws -> String {
      let mountpoint = try directory.subdirectory("refused")
      let output = try await run(
        [try Layout.nbdmount(), "--engine", client.engine.rawValue, "-C", "\(client.connections)"] + options
          + [mountpoint, server.uri()])
      #expect(output.status == .exited(1))
      return output.stderr
    }
  }
}
