import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Mounts that outlive their server (issue rows: *server killed and restarted*, *server restarted having lost its volatile cache*).
  @Suite struct ReconnectTests {
    /// A disk that outlives its server, and a server of it.
    private func disk(_ directory: TemporaryDirectory, filters: [String] = [], parameters: [String] = []) throws -> ServerKind {
      let image = directory / "disk.img"
      #expect(FileManager.default.createFile(atPath: image, contents: nil))
      let file = try FileHandle(forWritingTo: URL(fileURLWithPath: image))
      try file.truncate(atOffset: 64 << 20)
      return .nbdkit(filters + ["file", image] + parameters)
    }

    /// What says so on standard error, within a time that nobody would call fast.
    private func eventually(_ mount: Mount, says text: String) async throws {
      try await poll("\(text): \(mount.process.stderr)", within: .seconds(30)) { mount.process.stderr.contains(text) }
    }

    @Test(arguments: Client.all, Transport.allCases)
    func readsAndWritesWaitForAServerThatComesBack(_ client: Client, _ transport: Transport) async throws {
      try await withTemporaryDirectory { directory in
        let kind = try disk(directory)
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(kind, over: transport, in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await mount.succeed(copyRange(0, UInt64(mib), from: source, to: mount.file))
            try await server.crash()
            try await eventually(mount, says: "the connection to the server is lost")
            let reader = try ChildProcess(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=16", "iflag=direct"])
            let writer = try ChildProcess(
              ["dd", "if=\(source)", "of=\(mount.file)", "bs=64k", "seek=16", "conv=notrunc,fsync"])
            #expect(try await mount.run(["ls", "-l", mount.file], within: .seconds(10)).succeeded, "names need no server")
            try await withServer(kind, at: server.endpoint, in: directory) { _ in
              #expect(try await reader.exitStatus(within: .seconds(30)) == .success, "\(reader.stderr)")
              #expect(try await writer.exitStatus(within: .seconds(30)) == .success, "\(writer.stderr)")
              #expect(mount.process.stderr.contains("connected to the server again"))
              for offset in [0, mib] {
                try await mount.succeed(["cmp", "-n", "\(mib)", "-i", "0:\(offset)", source, directory / "disk.img"])
              }
              #expect(try await mount.unmount() == .success)
            }
          }
        }
      }
    }

    // What the server had answered, and lost with its cache.
    @Test(arguments: Client.all)
    func answeredWritesOutliveTheServersCache(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let kind = try disk(directory, filters: ["--filter=cache"], parameters: ["cache=writeback"])
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(kind, in: directory) { server in
          try await client.mount(server, options: ["--cache", "none"], in: directory) { mount in
            // It keeps the file open, because close flushes.
            try await withWriter(of: source, on: mount) { _ in
              try await server.crash()
            }
            try await withServer(kind, at: server.endpoint, in: directory) { _ in
              try await mount.succeed(["cmp", "-n", "\(mib)", source, mount.file])
              #expect(mount.process.stderr.contains("writes again that it had answered"), "\(mount.process.stderr)")
              #expect(try await mount.unmount() == .success)
            }
          }
        }
        let comparison = try await run(["cmp", "-n", "\(mib)", source, directory / "disk.img"])
        #expect(comparison.succeeded, "\(comparison)")
      }
    }

    /// A flush that takes long ends what is sent again. Meanwhile nothing is begun, and yet nobody is stuck.
    @Test(arguments: Client.all)
    func namesAreAnsweredAndReadersGoWhileTheLogIsSentAgain(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 64 * kib)
        let (slow, begun) = (directory / "slow", directory / "begun")
        let kind = ServerKind.nbdkit(
          evalPlugin(over: image) + [
            "can_flush=exit 0", "flush=[ -e \(slow) ] || exit 0; touch \(begun); sleep 8", "can_multi_conn=exit 0",
          ])
        let source = try await Pattern.file("source", size: 4 * kib, in: directory)
        try await withServer(kind, in: directory) { server in
          let options = ["--cache", "none", "-o", "attr_timeout=0"]
          try await client.mount(server, options: options, in: directory) { mount in
            try await withWriter(of: source, on: mount) { _ in
              try await server.crash()
            }
            #expect(FileManager.default.createFile(atPath: slow, contents: nil))
            try await withServer(kind, at: server.endpoint, in: directory) { _ in
              try await poll("the flush", within: .seconds(10)) { FileManager.default.fileExists(atPath: begun) }
              let reader = try ChildProcess(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"])
              #expect(try await mount.run(["stat", mount.file], within: .seconds(3)).succeeded)
              reader.signal(SIGKILL)
              #expect(await reader.ended.value(within: .seconds(4)) == .signaled(SIGKILL))
              try FileManager.default.removeItem(atPath: slow)
              try await mount.succeed(["cmp", "-n", "\(4 * kib)", source, mount.file])
              #expect(try await mount.unmount() == .success)
            }
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func anotherDiskIsRefused(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try disk(directory), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await server.crash()
            try await withServer(.nbdkit(["memory", "32M"]), at: server.endpoint, in: directory) { _ in
              let output = try await mount.run(["dd", "if=\(mount.file)", "of=/dev/null", "count=1", "iflag=direct"])
              #expect(output.stderr.contains("Input/output error"))
              try await eventually(mount, says: "its size is 33554432 bytes, and was 67108864")
              #expect(mount.entry != nil)
              _ = try await mount.unmount()
            }
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func theWaitIsBoundedByReconnectTimeout(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try disk(directory), in: directory) { server in
          try await client.mount(server, options: ["--reconnect-timeout", "1"], in: directory) { mount in
            try await server.crash()
            let output = try await mount.run(["dd", "if=\(mount.file)", "of=/dev/null", "count=1", "iflag=direct"])
            #expect(output.stderr.contains("Input/output error"))
            try await eventually(mount, says: "there is no server any more")
            #expect(try await mount.unmount() == .success)
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func aReaderThatWaitsForAServerCanBeKilled(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try disk(directory), in: directory) { server in
          try await client.mount(server, options: ["--reconnect-timeout", "forever"], in: directory) { mount in
            try await server.crash()
            let reader = try ChildProcess(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"])
            try await mount.waitUntilRequestsWait()
            reader.signal(SIGKILL)
            #expect(await reader.ended.value(within: .seconds(2)) == .signaled(SIGKILL))
          }
        }
      }
    }

    // `[ CMD ]` and `--command`: it is started again.
    @Test(arguments: Client.perEngine, [["["], ["--command"]])
    func aServerThatWasStartedForTheMountIsStartedAgain(_ client: Client, _ mode: [String]) async throws {
      try await withTemporaryDirectory { directory in
        _ = try disk(directory)
        let pidFile = directory / "server.pid"
        let command =
          mode == ["["]
          ? ["[", "nbdkit", "-P", pidFile, "file", directory / "disk.img", "]"]
          : ["--command", "nbdkit", "-s", "-P", pidFile, "file", directory / "disk.img"]
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withMount(command, options: [], engine: client.engine, in: directory) { mount in
          try await mount.succeed(copyRange(0, UInt64(mib), from: source, to: mount.file))
          let first = try String(contentsOfFile: pidFile, encoding: .utf8)
          kill(try #require(pid_t(first.filter(\.isNumber))), SIGKILL)
          try await mount.succeed(copyRange(UInt64(mib), 0 + UInt64(kib), from: source, to: mount.file))
          try await mount.succeed(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"])
          #expect(try String(contentsOfFile: pidFile, encoding: .utf8) != first)
          #expect(try await mount.unmount() == .success, "\(mount.process.stderr)")
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func anotherWayIsTakenWhenTheFirstServerIsGone(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let kind = try disk(directory)
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(kind, in: directory) { second in
          try await withServer(kind, in: directory) { first in
            try await client.mount(first, options: ["--failover", second.uri()], in: directory) { mount in
              try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=64k", "conv=notrunc"])
              try await first.crash()
              try await mount.succeed(["cmp", "-n", "\(mib)", source, mount.file])
              try await mount.succeed(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"])
              #expect(mount.process.stderr.contains("connected to the server again at"), "\(mount.process.stderr)")
              #expect(try await mount.unmount() == .success)
            }
          }
        }
      }
    }

    // --open-timeout
    @Test(arguments: Client.perEngine)
    func theFirstConnectionIsTriedForAsLongAsAskedFor(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let kind = try disk(directory)
        let path = directory / "late.sock"
        let endpoint = Endpoint.unix(path: path)
        // Somebody who accepts and hangs up, so that the first attempt is known to have failed.
        let listener = try UnixSocket.listen(on: path)
        let accepted = OneShot<Int32>()
        DispatchQueue.global().async { accepted.fire(accept(listener, nil, nil)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask {
            try await withMount(
              [endpoint.uri(export: "")], options: ["--open-timeout", "30"], engine: client.engine, in: directory
            ) { mount in
              try await mount.succeed(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=1"])
              _ = try await mount.unmount()
            }
          }
          let socket = await accepted.value(within: .seconds(20))
          shutdown(listener, Int32(SHUT_RDWR))
          for descriptor in [socket, listener] { if let descriptor { close(descriptor) } }
          #expect(socket != nil)
          try await withServer(kind, at: endpoint, in: directory) { _ in try await group.waitForAll() }
        }
      }
    }
  }
}
