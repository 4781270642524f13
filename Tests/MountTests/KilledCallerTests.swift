import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Processes that are killed while the server has not answered: they go at once, and what they asked for still counts.
  @Suite struct KilledCallerTests {
    /// In which a killed process has to be gone, with time to spare for a busy machine. Nobody looks before 0.6 s.
    static let gone = Duration.seconds(4)

    /// What a killed process may be in the middle of.
    enum Deed: String, CaseIterable, Sendable {
      case read, largeRead, write, largeWrite, punch

      func command(on file: String) -> [String] {
        switch self {
        case .read: ["dd", "if=\(file)", "of=/dev/null", "bs=64k", "count=1", "skip=2", "iflag=direct"]
        case .largeRead: ["dd", "if=\(file)", "of=/dev/null", "bs=1M", "count=1", "skip=1", "iflag=direct"]
        case .write: ["dd", "if=/dev/zero", "of=\(file)", "bs=4k", "count=1", "seek=64", "oflag=direct", "conv=notrunc"]
        case .largeWrite: ["dd", "if=/dev/zero", "of=\(file)", "bs=1M", "count=1", "seek=1", "oflag=direct", "conv=notrunc"]
        case .punch: ["fallocate", "--punch-hole", "--keep-size", "--offset", "65536", "--length", "65536", file]
        }
      }
    }

    /// Starts all deeds, and returns once each is under way. `mount` serves a server that has stopped.
    static func start(_ deeds: [Deed], on mount: Mount) async throws -> [ChildProcess] {
      var callers: [ChildProcess] = []
      let connection = FuseConnection(try #require(mount.entry))
      do {
        for deed in deeds {
          let waiting = try connection.waiting()
          let caller = try ChildProcess(deed.command(on: mount.file))
          callers.append(caller)
          // Where libfuse lets writers of one file run side by side (3.15), those before it may leave no room: then it waits in
          // open, and else behind them for the file's lock.
          try await poll("\(deed) to be under way", within: .seconds(10)) {
            try caller.holds(mount.file) || connection.waiting() > waiting
          }
        }
        try await mount.waitUntilRequestsWait()
        return callers
      } catch {
        for caller in callers { await caller.terminate() }
        throw error
      }
    }

    static func expectGone(_ callers: [ChildProcess], _ what: String) async {
      for caller in callers { caller.signal(SIGKILL) }
      for caller in callers {
        let status = await caller.ended.value(within: gone)
        #expect(status == .signaled(SIGKILL), "\(what): \(caller.command.joined(separator: " "))")
      }
    }

    /// With a minimum block, mutating requests of all connections go to the first one.
    @Test(arguments: Client.all, [1, 4096])
    func callersOfAStoppedServerGo(_ client: Client, _ block: Int) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit([
          "--filter=blocksize-policy", "memory", "4M", "blocksize-minimum=\(block)", "blocksize-error-policy=error",
        ])
        try await withServer(server, in: directory) { server in
          try await client.mount(server, options: ["--cache", "none"], in: directory) { mount in
            try await server.suspend()
            let callers = try await Self.start(Deed.allCases + Deed.allCases, on: mount)
            await Self.expectGone(callers, "\(client)")
            server.signal(SIGCONT)
            // Over the same bytes, and the last one counts.
            let source = try await Pattern.file("source", size: 4 * mib, in: directory)
            try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=1M", "oflag=direct", "conv=notrunc,fsync"])
            try await mount.succeed(["cmp", source, mount.file])
          }
        }
      }
    }

    /// More than all buffers hold: a process that was killed still has its file to flush, which must not wait for room.
    @Test(arguments: Client.perEngine)
    func manyLargeWritersOfAStoppedServerGo(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "4M"]), in: directory) { server in
          try await client.mount(server, options: ["--cache", "none"], in: directory) { mount in
            try await server.suspend()
            let callers = try await Self.start(Array(repeating: .largeWrite, count: 24), on: mount)
            await Self.expectGone(callers, "\(client)")
            server.signal(SIGCONT)
          }
        }
      }
    }

    /// The file's flush of the one that was killed is behind what the others have asked for.
    @Test(arguments: Client.perEngine)
    func oneOfManyLargeReadersGoes(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "4M"]), in: directory) { server in
          try await client.mount(server, options: ["--cache", "none", "-o", "attr_timeout=0"], in: directory) { mount in
            try await server.suspend()
            let callers = try await Self.start(Array(repeating: .largeRead, count: 40), on: mount)
            await Self.expectGone(Array(callers.prefix(1)), "\(client)")
            #expect(try await mount.run(["stat", mount.file], within: .seconds(10)).succeeded)
            server.signal(SIGCONT)
            for caller in callers.dropFirst() {
              #expect(try await caller.exitStatus(within: .seconds(30)) == .success, "\(caller.stderr)")
            }
          }
        }
      }
    }

    /// Whoever else asks wakes us before it is time to look.
    @Test(arguments: Client.perEngine)
    func aKilledCallerGoesWhileOthersKeepAsking(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "4M"]), in: directory) { server in
          let options = ["--cache", "none", "--busy-poll-us", "0", "-o", "attr_timeout=0"]
          try await client.mount(server, options: options, in: directory) { mount in
            try await server.suspend()
            let callers = try await Self.start([.read], on: mount)
            let others = try ChildProcess(["sh", "-c", "while stat \"$0\" >/dev/null; do sleep 0.1; done", mount.file])
            await Self.expectGone(callers, "\(client)")
            await others.terminate()
            server.signal(SIGCONT)
          }
        }
      }
    }

    /// A search for data in a hole of a petabyte takes hundreds of thousands of answers, each of them quick.
    @Test(arguments: Client.perEngine)
    func aSearchWithoutAnEndCanBeKilled(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1P"]), in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            let caller = try ChildProcess(xfsIO("seek -d 0", flags: ["-r"], on: mount.file))
            do {
              try await caller.waitUntilItHolds(mount.file)
              try await mount.waitUntilRequestsWait()
            } catch {
              await caller.terminate()
              throw error
            }
            await Self.expectGone([caller], "\(client)")
          }
        }
      }
    }

    /// The flush covers what others have written: it goes on, and the next fsync is told the truth.
    @Test(arguments: Client.perEngine, [true, false])
    func aKilledFsyncGoesAndItsFlushCounts(_ client: Client, _ flushFails: Bool) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 64 * kib)
        let begun = directory / "begun"
        // The first flush takes its time, those after it none.
        let flush = "[ -e \(begun) ] && exit 0; touch \(begun); sleep 3; "
          + (flushFails ? "echo EIO no >&2; exit 1" : "exit 0")
        let server = ServerKind.nbdkit(
          evalPlugin(over: image) + ["can_flush=exit 0", "flush=\(flush)", "can_multi_conn=exit 0"])
        try await withServer(server, in: directory) { server in
          try await client.mount(server, in: directory) { mount in
            let caller = try ChildProcess(xfsIO("pwrite -q 0 4096", "fsync", on: mount.file))
            do {
              try await poll("the flush", within: .seconds(10)) { FileManager.default.fileExists(atPath: begun) }
              caller.signal(SIGKILL)
              #expect(await caller.ended.value(within: .milliseconds(2500)) == .signaled(SIGKILL))
            } catch {
              await caller.terminate()
              throw error
            }
            for _ in 0..<2 {
              let next = try await mount.run(xfsIO("fsync", on: mount.file))
              #expect("\(next)".contains("Input/output error") == flushFails, "\(next)")
            }
            let status = try await mount.unmount()
            #expect(status == (flushFails ? .exited(1) : .success))
          }
        }
      }
    }

    /// Its write is still under way when somebody else writes the same bytes.
    @Test(arguments: Client.perEngine)
    func aKilledWriterDoesNotOvertakeTheNextOne(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: 64 * kib)
        let begun = directory / "begun"
        // The first write is slow, and done at its end.
        let write = "[ -e \(begun) ] || { touch \(begun); sleep 3; }; "
          + "dd of=\(image) oflag=seek_bytes conv=notrunc seek=$4 bs=64k status=none"
        let server = ServerKind.nbdkit(
          evalPlugin(over: image).filter { !$0.hasPrefix("pwrite=") }
            + ["pwrite=\(write)", "can_flush=exit 0", "flush=exit 0", "can_multi_conn=exit 0", "thread_model=echo parallel"])
        try await withServer(server, in: directory) { server in
          try await client.mount(server, options: ["--cache", "none"], in: directory) { mount in
            let caller = try ChildProcess(xfsIO("pwrite -q -S 0x11 4096 4096", flags: ["-d"], on: mount.file))
            do {
              try await poll("the write", within: .seconds(10)) { FileManager.default.fileExists(atPath: begun) }
              caller.signal(SIGKILL)
              #expect(await caller.ended.value(within: .milliseconds(2500)) == .signaled(SIGKILL))
            } catch {
              await caller.terminate()
              throw error
            }
            // Beside it, and over it.
            try await mount.succeed(xfsIO("pwrite -q -S 0x33 16384 4096", flags: ["-d"], on: mount.file))
            try await mount.succeed(xfsIO("pwrite -q -S 0x22 4096 4096", flags: ["-d"], on: mount.file))
            let read = try await mount.succeed(xfsIO("pread -v 4096 16", flags: ["-d"], on: mount.file))
            #expect(read.stdout.contains("22 22 22 22"), "\(read)")
          }
        }
        try await succeed(["sh", "-c", "test \"$(od -An -tx1 -j4096 -N1 \"$1\")\" = ' 22'", "sh", image])
      }
    }
  }
}
