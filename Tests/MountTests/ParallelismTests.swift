import Foundation
import TestSupport
import Testing

extension MountTests {
  @Suite struct ParallelismTests {
    /// One slow server, many readers: each answer takes half a second, so that 40 answers one after another would take 20.
    @Test(arguments: Client.all)
    func fortyParallelReadsTakeAsLongAsOne(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit(["-t", "64", "--filter=delay", "memory", "64M", "rdelay=500ms"])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let output = try await mount.succeed([
            "fio", "--name=parallel", "--filename=\(mount.file)", "--size=64m", "--rw=randread", "--bs=4k",
            "--ioengine=libaio", "--direct=1", "--iodepth=40", "--number_ios=40", "--output-format=json",
          ])
          let report = try JSONDecoder().decode(FioReport.self, from: Data(output.stdout.utf8))
          let read = try #require(report.jobs.first?.read)
          #expect(read.total_ios == 40)
          #expect(read.clat_ns.max >= 500_000_000, "the server was to be slow")
          #expect(read.clat_ns.max < 1_000_000_000)
        }
      }
    }

    /// A server that does not promise consistent connections gets one, one that does gets all that were asked for.
    @Test(arguments: Client.all, [true, false])
    func asManyConnectionsAsTheServerAllows(_ client: Client, _ allowsSeveral: Bool) async throws {
      try await withTemporaryDirectory { directory in
        let arguments =
          allowsSeveral
          ? ["memory", "64M"] : ["--filter=multi-conn", "memory", "64M", "multi-conn-mode=disable"]
        try await withServer(.nbdkit(arguments), in: directory) { server in
          let idle = try server.socketCount()
          try await client.mount(server, in: directory) { mount in
            // Some clients open the other connections only when there is something to do.
            try await mount.succeed([
              "fio", "--name=busy", "--filename=\(mount.file)", "--size=16m", "--rw=randread", "--bs=4k",
              "--ioengine=libaio", "--direct=1", "--iodepth=32", "--output=/dev/null",
            ])
            let count = try server.socketCount() - idle
            #expect(count == (allowsSeveral ? client.connections : 1))
          }
        }
      }
    }

    /// While one request at a time comes, one reactor reads them all; the others join when there are many, or large ones.
    @Test(arguments: [(block: "4k", depth: 1, size: "16m", isShared: false), ("4k", 64, "64m", true), ("1m", 4, "1g", true)])
    func reactorsShareWhatIsTooMuchForOne(_ load: (block: String, depth: Int, size: String, isShared: Bool)) async throws {
      try await withTemporaryDirectory { directory in
        let log = directory / "log"
        try await withServer(.nbdkit(["--filter=log", "memory", "64M", "logfile=\(log)"]), in: directory) { server in
          try await withMount([server.uri()], options: ["-C", "4"], engine: .reactor, in: directory) { mount in
            try await mount.succeed([
              "fio", "--name=load", "--filename=\(mount.file)", "--size=64m", "--rw=randread", "--bs=\(load.block)",
              "--ioengine=libaio", "--direct=1", "--iodepth=\(load.depth)", "--io_size=\(load.size)", "--output=/dev/null",
            ])
          }
        }
        // connection=2 Read id=17 offset=0x0 count=0x1000 ...
        let reads = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").filter { $0.contains(" Read id=") }
        let connections = Set(reads.compactMap { $0.split(separator: " ").first { $0.hasPrefix("connection=") } })
        #expect(reads.count >= 1000)
        #expect((connections.count > 1) == load.isShared, "\(connections)")
      }
    }

    /// Requests of all sizes at a depth that no memory would suffice for if each had its largest.
    @Test(arguments: ["1m", "64k", "4k"])
    func manyRequestsOfAllSizesInBoundedMemory(_ largestWrite: String) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "64M"]), in: directory) { server in
          let options = ["-C", "2", "-o", "max_write=\(bytes(largestWrite))"]
          try await withMount([server.uri()], options: options, engine: .reactor, in: directory) { mount in
            try await mount.succeed([
              "fio", "--name=verify", "--filename=\(mount.file)", "--size=64m", "--rw=randwrite", "--bsrange=4k-1m",
              "--ioengine=libaio", "--direct=1", "--iodepth=128", "--verify=crc32c", "--verify_fatal=1",
              "--verify_state_save=0", "--output=/dev/null",
            ])
            // Reads and writes have their data in buffers of all sizes at the same time.
            try await mount.succeed([
              "fio", "--name=mix", "--filename=\(mount.file)", "--size=64m", "--io_size=2g", "--rw=randrw",
              "--bsrange=4k-1m", "--ioengine=libaio", "--direct=1", "--iodepth=256", "--output=/dev/null",
            ])
            // 64 MiB, and the write log.
            #expect(try peakMemory(of: mount.process.pid) <= 2 * 64 << 20)
          }
        }
      }
    }

    private func bytes(_ size: String) -> Int {
      (Int(size.dropLast()) ?? 0) << (size.last == "m" ? 20 : 10)
    }

    /// The most that was resident, in bytes.
    private func peakMemory(of process: pid_t) throws -> Int {
      let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
      let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
      return try #require(Int(line.split(whereSeparator: \.isWhitespace)[1])) * 1024
    }
  }

  private struct FioReport: Decodable {
    struct Latency: Decodable { let max: Double }
    struct Direction: Decodable {
      let total_ios: Int
      let clat_ns: Latency
    }
    struct Job: Decodable { let read: Direction }
    let jobs: [Job]
  }
}
