import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What the threads engine takes of memory and threads, and what its callers may expect when all of it is in use.
  @Suite(.enabled(if: Engine.all.contains(.threads))) struct ThreadsEngineTests {
    /// One hour's pattern in small: every worker has had the largest reads and the largest writes.
    private static func loadAllWorkers(_ mount: Mount) async throws {
      for (block, depth) in [("1m-1m", 256), ("4k-4k", 256), ("4k-1m", 64)] {
        try await mount.succeed([
          "fio", "--name=mix", "--filename=\(mount.file)", "--size=64m", "--io_size=256m", "--rw=randrw", "--bsrange=\(block)",
          "--ioengine=libaio", "--direct=1", "--iodepth=\(depth)", "--output=/dev/null",
        ])
      }
    }

    @Test(arguments: [1, 4])
    func memoryAndThreadsAreBoundedAtAnyDepth(connections: Int) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "64M"]), in: directory) { server in
          try await withMount([server.uri()], options: ["-C", "\(connections)"], engine: .threads, in: directory) { mount in
            try await Self.loadAllWorkers(mount)
            let usage = try ProcessUsage(mount.process.pid)
            // 64 MiB, and the write log.
            #expect(usage.peakMemory <= 2 * 64 << 20, "\(usage.peakMemory >> 10) KiB")
            // A reactor for each connection, and a few that wait for signals, changes and ends.
            #expect(usage.threads <= 64 + connections + 8)
          }
        }
      }
    }

    /// libfuse may end workers that have nothing to do: their memory goes with them.
    @Test func idleWorkersTakeTheirMemoryWithThem() async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "64M"]), in: directory) { server in
          let options = ["-C", "1", "-o", "max_idle_threads=2"]
          try await withMount([server.uri()], options: options, engine: .threads, in: directory) { mount in
            let before = try ProcessUsage(mount.process.pid).mappings
            try await Self.loadAllWorkers(mount)
            try await poll("idle workers to end", within: .seconds(10)) {
              (try? await mount.run(["stat", "-f", mount.file])) != nil
                && (try? ProcessUsage(mount.process.pid).threads <= 16) == true
            }
            // Each worker that leaves its buffer behind, of the hundreds there were, is a mapping more.
            #expect(try ProcessUsage(mount.process.pid).mappings <= before + 80)
          }
        }
      }
    }

    /// The kernel makes 256 requests of it. No signal takes those back that it has sent, and the call waits for all of them: it must
    /// not send as many as there are workers.
    @Test(arguments: [true, false])
    func aCallWithMoreRequestsThanWorkersCanBeKilled(_ reads: Bool) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: 4 * mib, in: directory)
        try await withServer(.nbdkit(["memory", "64M"]), in: directory) { server in
          try await withMount([server.uri()], engine: .threads, in: directory) { mount in
            let call =
              reads
              ? ["dd", "if=\(mount.file)", "of=/dev/null", "bs=64M", "count=1", "iflag=direct"]
              : ["dd", "if=/dev/zero", "of=\(mount.file)", "bs=64M", "count=1", "oflag=direct", "conv=notrunc"]
            try await server.suspend()
            try await withChildProcess(call) { caller in
              try await caller.waitUntilItHolds(mount.file)
              try await mount.waitUntilRequestsWait(count: 48)
              await KilledCallerTests.expectGone([caller], "more requests than workers")
              server.signal(SIGCONT)
            }
            // All workers are back, and what the killed process wrote does not come later than this.
            try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=4M", "oflag=direct", "conv=notrunc,fsync"])
            try await mount.succeed(["cmp", "--bytes=\(4 * mib)", source, mount.file])
          }
        }
      }
    }
  }
}

/// What a process takes of the system.
private struct ProcessUsage {
  /// The most that was resident, in bytes.
  let peakMemory: Int
  let threads: Int
  let mappings: Int

  init(_ process: pid_t) throws {
    let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8).split(separator: "\n")
    func number(_ name: String) throws -> Int {
      let line = try #require(status.first { $0.hasPrefix(name + ":") })
      return try #require(Int(line.split(whereSeparator: \.isWhitespace)[1]))
    }
    peakMemory = try number("VmHWM") * 1024
    threads = try number("Threads")
    mappings = try String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8).split(separator: "\n").count
  }
}
