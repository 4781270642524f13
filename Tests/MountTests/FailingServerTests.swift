import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Servers that die, hang, or fail to make data durable, while they are mounted.
  @Suite struct FailingServerTests {
    /// The wait for a hanging server at the end of a mount is bounded; nobody should have to look at it that long.
    static let hangingEnd = Duration.seconds(30)

    @Test(arguments: Client.all, Transport.allCases)
    func readsFailOnceTheServerIsGone(_ client: Client, _ transport: Transport) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["pattern", "16M"]), over: transport, in: directory) { server in
          try await client.mount(server, options: givingUpAtOnce, in: directory) { mount in
            try await mount.succeed(read(mount))
            try await server.crash()
            for _ in 0..<3 {
              let output = try await mount.run(read(mount), within: .seconds(10))
              #expect(output.stderr.contains("Input/output error"))
            }
            #expect(mount.entry != nil, "the mount has to stay until it is unmounted")
            #expect(try await mount.unmount() == .success, "nothing was lost")
          }
        }
      }
    }

    /// What was written and never reached the server is lost: that has to show at fsync and at the end.
    @Test(arguments: Client.all)
    func lostWritesShowInTheExitStatus(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 64 * kib, in: directory)
        try await withServer(.nbdkit(["memory", "16M"]), in: directory) { server in
          try await client.mount(server, options: givingUpAtOnce, in: directory) { mount in
            try await withWriter(of: source, on: mount) { _ in
              try await server.crash()
              // The kernel tells of it once only.
              for _ in 0..<2 {
                let synced = try await mount.run(xfsIO("fsync", on: mount.file), within: .seconds(10))
                #expect("\(synced)".contains("Input/output error"))
              }
            }
            let status = try await mount.unmount()
            #expect(status != .success)
          }
        }
      }
    }

    /// A reader of a server that hangs can be killed; nothing stays in an uninterruptible wait. Of a direct read the kernel
    /// does not even tell that its process got a signal.
    @Test(arguments: Client.all, ["fullblock", "direct"])
    func readerOfAStoppedServerCanBeKilled(_ client: Client, _ flag: String) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["pattern", "16M"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await server.suspend()
            let reader = try await hangingReader(of: mount, flag: flag)
            reader.signal(SIGKILL)
            let status = await reader.ended.value(within: .seconds(2))
            #expect(status == .signaled(SIGKILL))
            server.signal(SIGCONT)
            await reader.terminate()
            try await mount.succeed(read(mount))
          }
        }
      }
    }

    @Test(arguments: Client.all, [SIGTERM, SIGINT])
    func signalEndsTheMountOfAStoppedServer(_ client: Client, _ signal: Int32) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["pattern", "16M"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await server.suspend()
            let reader = try await hangingReader(of: mount)
            mount.process.signal(signal)
            _ = try await mount.process.exitStatus(within: Self.hangingEnd)
            #expect(mount.entry == nil)
            let reading = await reader.ended.value(within: .seconds(2))
            #expect(reading == .exited(1), "the reader gets an error")
            await reader.terminate()
          }
        }
      }
    }

    /// The server's promise is broken for good: no later fsync may pretend that the data is safe.
    @Test(arguments: Client.all, ["writeback", "writethrough", "none"])
    func everyFsyncFailsWhileTheFlushFails(_ client: Client, _ cache: String) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 64 * kib)
        let server = ServerKind.nbdkit(
          evalPlugin(over: image) + ["can_flush=exit 0", "flush=echo EIO no >&2; exit 1", "can_multi_conn=exit 0"])
        try await withServer(server, in: directory) { server in
          try await client.mount(server, options: ["--cache", cache], in: directory) { mount in
            let first = try await mount.run(copyRange(0, 4096, from: "/dev/zero", to: mount.file))
            #expect(first.stderr.contains("Input/output error"))
            for _ in 0..<10 {
              let again = try await mount.run(xfsIO("fsync", on: mount.file))
              #expect("\(again)".contains("Input/output error"))
            }
            let status = try await mount.unmount()
            #expect(status == .exited(1))
          }
        }
      }
    }
  }

  /// How a mount with written data ends.
  @Suite struct EndingTests {
    enum Ending: String, CaseIterable, Sendable {
      case unmount = "fusermount3 -u"
      case terminate = "SIGTERM"
      case interrupt = "SIGINT"
      case hangUp = "SIGHUP"
    }

    /// nbdkit's cache keeps writes to itself until a flush: what is in the image after the crash was flushed.
    @Test(arguments: Client.all, Ending.allCases)
    func writtenDataIsDurableAfterTheEnd(_ client: Client, _ ending: Ending) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 16 * mib, in: directory)
        let image = try directory.sparseFile("image", size: 16 * mib)
        let server = ServerKind.nbdkit(["--filter=cache", "file", image, "cache=writeback"])
        try await withServer(server, in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=1M", "conv=notrunc"])
            let status: TestSupport.ExitStatus
            switch ending {
            case .unmount: status = try await mount.unmount()
            case .terminate: status = try await mount.end(SIGTERM)
            case .interrupt: status = try await mount.end(SIGINT)
            case .hangUp: status = try await mount.end(SIGHUP)
            }
            #expect(status == .success, "\(mount.process.stderr)")
            #expect(mount.entry == nil)
          }
          try await server.crash()
        }
        try await succeed(["cmp", source, image])
      }
    }

    @Test(arguments: Client.all, ["dsync", "sync", "direct,dsync"])
    func synchronousWriteIsDurableWhenItReturns(_ client: Client, _ flags: String) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        let image = try directory.sparseFile("image", size: mib)
        let server = ServerKind.nbdkit(["--filter=cache", "file", image, "cache=writeback"])
        try await withServer(server, in: directory) { server in
          try await client.mount(server, options: givingUpAtOnce, in: directory) { mount in
            try await mount.succeed([
              "dd", "if=\(source)", "of=\(mount.file)", "bs=64k", "oflag=\(flags)", "conv=notrunc",
            ])
            try await server.crash()
            try await succeed(["cmp", source, image])
            #expect(try await mount.unmount() == .success, "nothing was lost")
          }
        }
      }
    }

    /// A program that keeps the file open cannot keep the mount; it is cut off, which the message says.
    @Test(arguments: Client.perEngine)
    func signalEndsAMountThatIsInUse(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          let user = try ChildProcess(["sh", "-c", "exec 3<\"$1\"; exec sleep 100", "sh", mount.file])
          do {
            try await user.waitUntilItHolds(mount.file)
            _ = try await mount.end(SIGTERM, within: .seconds(15))
            #expect(mount.entry == nil)
            #expect(mount.process.stderr.contains("in use"))
          } catch {
            await user.terminate()
            throw error
          }
          await user.terminate()
        }
      }
    }
  }
}

/// What makes `nbdmount` fail requests at once when the server goes, instead of waiting for it to come back.
private let givingUpAtOnce = ["--reconnect-timeout", "0"]

/// A read that has to ask the server.
private func read(_ mount: Mount, flag: String = "direct") -> [String] {
  ["dd", "if=\(mount.file)", "of=/dev/null", "bs=64k", "count=1", "iflag=\(flag)"]
}

/// A process that waits for a read of a server that is stopped already.
private func hangingReader(of mount: Mount, flag: String = "direct") async throws -> ChildProcess {
  let reader = try ChildProcess(read(mount, flag: flag))
  do {
    // Opening has been answered by then, so that what waits is the read.
    try await reader.waitUntilItHolds(mount.file)
    try await mount.waitUntilRequestsWait()
    return reader
  } catch {
    await reader.terminate()
    throw error
  }
}
