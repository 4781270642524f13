import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What options of the command line do to a mount.
  @Suite struct OptionEffectTests {
    /// nbdkit's file plugin serves each file of a directory under its name.
    @Test(arguments: Client.all, Transport.allCases)
    func exportNamesTheExport(_ client: Client, _ transport: Transport) async throws {
      try await withTemporaryDirectory { directory in
        let disks = try directory.subdirectory("disks")
        _ = try await Pattern.file("disks/one", size: mib, seed: 1, in: directory)
        let two = try await Pattern.file("disks/two", size: mib, seed: 2, in: directory)
        try await withServer(.nbdkit(["file", "dir=\(disks)"]), over: transport, in: directory) { server in
          let mode =
            switch server.endpoint {
            case .unix(let path): ["--unix", path]
            case .tcp(let port): ["--tcp", "127.0.0.1", "\(port)"]
            }
          let options = ["-C", "\(client.connections)", "--export", "two"]
          try await withMount(mode, options: options, engine: client.engine, in: directory) { mount in
            try await mount.succeed(["cmp", two, mount.file])
          }
        }
      }
    }

    /// Root may set it; the default is 2 MiB.
    @Test(arguments: Client.perEngine, [(["--read-ahead", "512K"], 512), ([], 2048)])
    func readAheadIsTheKernelsOwn(_ client: Client, _ setting: (options: [String], kilobytes: Int)) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(
          .nbdkit(["memory", "1M"]), options: setting.options, by: client, in: directory
        ) { mount in
          let device = "/sys/class/bdi/0:\(try #require(mount.entry).minor)"
          let readAhead = try String(contentsOfFile: "\(device)/read_ahead_kb", encoding: .utf8)
          #expect(readAhead == "\(setting.kilobytes)\n")
          let dirtyRatio = try String(contentsOfFile: "\(device)/max_ratio", encoding: .utf8)
          #expect(dirtyRatio == "20\n")
        }
      }
    }

    @Test(arguments: Client.all)
    func verboseSaysWhatWasMounted(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let disks = try directory.subdirectory("disks")
        _ = try directory.sparseFile("disks/one", size: 3 * mib)
        try await withMountedServer(
          .nbdkit(["file", "dir=\(disks)"]), export: "one", options: ["-v"], by: client, in: directory
        ) { mount in
          let connections = client.connections == 1 ? "1 connection," : "\(client.connections) connections,"
          for word in ["export \"one\" of ", "3145728 bytes", "blocks of 1 to ", connections, "structured replies", "no TLS"] {
            #expect(mount.process.stderr.contains(word), "\(word): \(mount.process.stderr)")
          }
        }
      }
    }

    /// Always: a copy is silently too short otherwise.
    @Test(arguments: Client.all)
    func aTailThatCannotBeReachedIsSaid(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit([
          "--filter=blocksize-policy", "memory", "1048577", "blocksize-minimum=4096",
        ])
        try await withMountedServer(server, by: client, in: directory) { mount in
          #expect(
            mount.process.stderr
              == "nbdmount: warning: the export has 1048577 bytes, which its minimum block size 4096 does not divide: "
              + "the last 1 cannot be reached, and the file has 1048576\n")
          let size = try await statField("%s", of: mount.file, mount)
          #expect(size == "1048576")
        }
      }
    }

    /// One worker takes one request after another; the reads miss each other's time.
    @Test func aSingleThreadTakesOneRequestAtATime() async throws {
      guard Engine.all.contains(.threads) else { return }
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit(["--filter=delay", "memory", "1M", "rdelay=300ms"])
        try await withServer(server, in: directory) { server in
          let options = ["-s", "--cache", "none"]
          try await withMount([server.uri()], options: options, engine: .threads, in: directory) { mount in
            let clock = ContinuousClock()
            let start = clock.now
            try await mount.succeed([
              "sh", "-c", "for i in 1 2 3; do dd if=\"$0\" of=/dev/null bs=512 count=1 skip=$((i * 64)) & done; wait", mount.file,
            ])
            #expect(clock.now - start >= .milliseconds(900))
          }
        }
      }
    }

    /// One connection is one thread.
    @Test func aSingleThreadHasOneConnection() async throws {
      guard Engine.all.contains(.reactor) else { return }
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          let before = try server.socketCount()
          let options = ["-s", "-C", "4"]
          try await withMount([server.uri()], options: options, engine: .reactor, in: directory) { mount in
            try await mount.succeed(["cmp", "--bytes=4096", "/dev/zero", mount.file])
            #expect(try server.socketCount() == before + 1)
          }
        }
      }
    }

    /// 0 is how it is on one processor, too.
    @Test(arguments: Client.all, [0, 1000])
    func busyPollingOrNotTheDataIsThere(_ client: Client, _ microseconds: Int) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: 4 * mib, in: directory)
        try await withMountedServer(
          .nbdkit(["file", image]), options: ["--busy-poll-us", "\(microseconds)"], by: client, in: directory
        ) { mount in
          try await mount.succeed(["cmp", image, mount.file])
        }
      }
    }

    /// A file as the root of its mount has its size kept, which a read-only mount does not let.
    @Test(arguments: Client.perEngine)
    func writebackIsNothingToAReadOnlyFile(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: 100_003, in: directory)
        let place = Mount.Place.over(try directory.sparseFile("covered", size: 7))
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          let options = ["-r", "--cache", "writeback"]
          try await withMount([server.uri()], options: options, engine: client.engine, at: place, in: directory) { mount in
            try await mount.succeed(["cmp", image, mount.file])
          }
        }
      }
    }

    /// A pipe that is full and that nobody empties, as standard error: warnings come and the mount goes on, to its end.
    @Test(arguments: Client.perEngine)
    func aStuckStandardErrorDoesNotStopTheMount(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        let pipe = try StuckPipe()
        let launcher = ["bash", "-c", "exec \"$@\" 2>&\(pipe.writeEnd)", "bash"]
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          try await withMount(
            [server.uri()], engine: client.engine, in: directory, launcher: launcher, inheriting: [pipe.writeEnd]
          ) { mount in
            for size in 0..<30 {
              let refused = try await mount.run(["truncate", "--size=\(size + 5)", mount.file], within: .seconds(20))
              #expect(!refused.succeeded)
            }
            try await mount.succeed(["cmp", image, mount.file], within: .seconds(20))
            #expect(try await mount.end(SIGTERM, within: .seconds(20)) == .success)
          }
        }
      }
    }
  }
}

/// A pipe that holds all that it can.
private final class StuckPipe: Sendable {
  let writeEnd: Int32
  private let readEnd: Int32

  init() throws {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw TestFailure("no pipe") }
    (readEnd, writeEnd) = (ends[0], ends[1])
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    _ = fcntl(writeEnd, F_SETFL, O_NONBLOCK)
    let bytes = [UInt8](repeating: 0x78, count: 4096)
    while write(writeEnd, bytes, bytes.count) > 0 {}
    _ = fcntl(writeEnd, F_SETFL, 0)
  }

  deinit {
    close(readEnd)
    close(writeEnd)
  }
}
