import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What nbdmount asks of the kernel for when memory is short. That it helps is what Scripts/loop.sh shows.
  @Suite struct MemoryPressureTests {
    /// `PF_MEMALLOC_NOIO` and `PF_LOCAL_THROTTLE` of the kernel's <linux/sched.h>: what PR_SET_IO_FLUSHER sets.
    static let flusherFlags: UInt64 = 0x0018_0000
    static let isRefused = "cannot become an I/O flusher (PR_SET_IO_FLUSHER): Operation not permitted"

    /// Root, but for these capabilities.
    static func without(_ capabilities: String...) -> [String] {
      let set = capabilities.map { "-\($0)" }.joined(separator: ",")
      return ["setpriv", "--bounding-set=\(set)", "--inh-caps=\(set)"]
    }

    /// A shell that runs `before` and becomes what follows.
    static func shell(_ before: String) -> [String] { ["sh", "-c", "\(before) exec \"$@\"", "sh"] }

    /// The flags of each thread of a process: `PF_*`, field 9 of /proc/PID/task/TID/stat.
    private func threadFlags(_ process: pid_t) throws -> [UInt64] {
      let tasks = "/proc/\(process)/task"
      return try FileManager.default.contentsOfDirectory(atPath: tasks).compactMap { thread in
        // A thread may end while we look. The name is in parentheses, and may hold blanks.
        guard let line = try? String(contentsOfFile: "\(tasks)/\(thread)/stat", encoding: .utf8) else { return nil }
        let fields = line.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 6, let flags = UInt64(fields[6]) else { throw TestFailure("no flags in \(line)") }
        return flags
      }
    }

    private func text(_ name: String, of mount: Mount) throws -> String {
      try String(contentsOfFile: "/proc/\(mount.process.pid)/\(name)", encoding: .utf8)
    }

    private func score(of mount: Mount) throws -> Int? {
      Int(try text("oom_score_adj", of: mount).trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// Kibibytes.
    private func lockedMemory(of mount: Mount) throws -> Int {
      let line = try text("status", of: mount).split(separator: "\n").first { $0.hasPrefix("VmLck:") }
      let number = line.flatMap { Int($0.filter(\.isNumber)) }
      return try #require(number)
    }

    /// Several readers at once, so that libfuse starts workers where it does.
    private func read(_ mount: Mount) async throws {
      try await mount.succeed([
        "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do dd if=\"$1\" of=/dev/null bs=64k iflag=direct status=none & done; wait", "sh",
        mount.file,
      ])
    }

    /// It takes CAP_SYS_RESOURCE, which a container may not have; then -v says so.
    @Test(arguments: Client.perEngine)
    func everyThreadIsAnIOFlusherWhereThatIsAllowed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), options: ["-v"], by: client, in: directory) { mount in
          try await read(mount)
          let expected = mount.process.stderr.contains(Self.isRefused) ? 0 : Self.flusherFlags
          let flags = try threadFlags(mount.process.pid)
          #expect(flags.count > 2)
          #expect(flags.allSatisfy { $0 & Self.flusherFlags == expected }, "\(flags)")
        }
      }
    }

    /// The server that is started for the mount is as much in the way of whoever waits for memory.
    @Test(arguments: Client.perEngine)
    func aStartedServerIsAnIOFlusherToo(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let mode = ["--command", "nbdkit", "-s", "memory", "1M"]
        try await withMount(mode, options: ["-v"], engine: client.engine, in: directory) { mount in
          let expected = mount.process.stderr.contains(Self.isRefused) ? 0 : Self.flusherFlags
          let children = try mount.process.children()
          let server = try #require(children.first)
          let flags = try threadFlags(server)
          #expect(!flags.isEmpty)
          #expect(flags.allSatisfy { $0 & Self.flusherFlags == expected }, "\(flags)")
        }
      }
    }

    /// Only -v says that it may not become one.
    @Test(arguments: Client.perEngine, [false, true])
    func withoutTheCapabilityItIsNoIOFlusher(_ client: Client, isVerbose: Bool) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withMount(
            [server.uri()], options: isVerbose ? ["-v"] : [], engine: client.engine, in: directory,
            launcher: Self.without("sys_resource")
          ) { mount in
            try await read(mount)
            let flags = try threadFlags(mount.process.pid)
            #expect(flags.allSatisfy { $0 & Self.flusherFlags == 0 }, "\(flags)")
            #expect(mount.process.stderr.contains(Self.isRefused) == isVerbose)
            #expect(isVerbose || mount.process.stderr.isEmpty, "\(mount.process.stderr)")
          }
        }
      }
    }

    /// With CAP_SYS_RESOURCE, which -v says where it is not there, the kernel spares it altogether.
    @Test(arguments: Client.perEngine)
    func theOOMScoreIsTheLowest(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), options: ["-v"], by: client, in: directory) { mount in
          let isRefused = mount.process.stderr.contains("cannot lower the OOM score (oom_score_adj) below")
          let score = try score(of: mount)
          #expect(score == -1000 || isRefused)
        }
      }
    }

    /// What was raised without the capability may be lowered again without it, to where it was, and no further: to what trying
    /// one after the other finds. Only -v speaks of it.
    @Test(arguments: Client.perEngine, [(set: 0, raised: 500), (set: 37, raised: 37), (set: 120, raised: 121)])
    func theOOMScoreIsAsLowAsPermitted(_ client: Client, _ scores: (set: Int, raised: Int)) async throws {
      let launcher =
        Self.shell("echo \(scores.set) >/proc/self/oom_score_adj &&") + Self.without("sys_resource")
        + Self.shell("echo \(scores.raised) >/proc/self/oom_score_adj &&")
      let search = "for i in $(seq -1000 1000); do echo $i 2>/dev/null >/proc/self/oom_score_adj && echo $i && break; done"
      let found = try await succeed(launcher + ["sh", "-c", search]).stdout
      let lowest = try #require(Int(found.trimmingCharacters(in: .whitespacesAndNewlines)))
      // Where the capability is not to be had, it was set by whoever had it.
      #expect(lowest <= scores.set)
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withMount([server.uri()], engine: client.engine, in: directory, launcher: launcher) { mount in
            let score = try score(of: mount)
            #expect(score == lowest)
            #expect(mount.process.stderr.isEmpty, "\(mount.process.stderr)")
          }
          try await withMount(
            [server.uri()], options: ["-v"], engine: client.engine, in: directory, launcher: launcher
          ) { mount in
            let isSaid = mount.process.stderr.contains("cannot lower the OOM score (oom_score_adj) below \(lowest)\n")
            #expect(isSaid || lowest == -1000)
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func nothingIsLockedUnlessAskedFor(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          try await read(mount)
          let locked = try lockedMemory(of: mount)
          #expect(locked == 0)
        }
      }
    }

    /// All of the program is in memory and stays there, also what was mapped after the start: stacks and buffers.
    @Test(arguments: Client.perEngine)
    func everythingIsLockedWithMlock(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["memory", "1M"]), options: ["--mlock"], by: client, in: directory) { mount in
          try await read(mount)
          let mappings = try await Mapping.all(of: mount.process.pid).filter { !$0.isTheKernels }
          #expect(mappings.count > 10)
          #expect(mappings.allSatisfy { $0.isLocked }, "\(mappings.filter { !$0.isLocked })")
          let program = mappings.filter { $0.isExecutable && $0.path.hasSuffix("/nbdmount") }
          #expect(!program.isEmpty)
          #expect(program.allSatisfy { $0.resident == $0.size }, "\(program)")
          // Addresses that nobody has used yet take no memory.
          #expect(mappings.map(\.resident).reduce(0, +) < 256 << 10)
        }
      }
    }

    /// Little is too little at the start already, and 1 GiB would be one day: the kernel counts addresses. It is said before
    /// anything is mounted.
    @Test(arguments: Client.perEngine, [0, 64, 1 << 20])
    func aLimitOnLockedMemoryIsAClearError(_ client: Client, kibibytes: Int) async throws {
      // One that is higher than our own can be set only with CAP_SYS_RESOURCE; else it stays our own.
      let limiting = Self.shell("ulimit -l \(kibibytes) 2>/dev/null;")
      let limit = try await succeed(limiting + ["sh", "-c", "ulimit -H -l"]).stdout.trimmingCharacters(in: .newlines)
      try await expectRefusal(client, by: limiting + Self.without("ipc_lock", "sys_resource"), limit: limit)
    }

    /// Then the soft limit is raised, which everybody may. Where there is a limit that we may not lift, that is refused.
    @Test(arguments: Client.perEngine)
    func withoutALimitNoCapabilityIsNeededToLock(_ client: Client) async throws {
      let launcher =
        Self.shell("ulimit -l unlimited 2>/dev/null; ulimit -S -l 64;") + Self.without("ipc_lock", "sys_resource")
      let limit = try await succeed(launcher + ["sh", "-c", "ulimit -H -l"]).stdout.trimmingCharacters(in: .newlines)
      guard limit == "unlimited" else { return try await expectRefusal(client, by: launcher, limit: limit) }
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await withMount([server.uri()], options: ["--mlock"], engine: client.engine, in: directory, launcher: launcher) {
            mount in
            try await read(mount)
            let locked = try lockedMemory(of: mount)
            #expect(locked > 0)
          }
        }
      }
    }

    /// - Parameter limit: KiB.
    private func expectRefusal(_ client: Client, by launcher: [String], limit: String) async throws {
      try await withTemporaryDirectory { directory in
        let mountpoint = try directory.subdirectory("mnt")
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          let refused = try await run(
            launcher + [try Layout.nbdmount(), "--engine", client.engine.rawValue, "--mlock", mountpoint, server.uri()])
          #expect(refused.status == .exited(1))
          #expect(
            refused.stderr == """
              nbdmount: --mlock needs CAP_IPC_LOCK, or no limit on locked memory, which is \(limit) KiB \
              (ulimit -l unlimited; in a systemd unit, LimitMEMLOCK=infinity)

              """)
          #expect(MountTable.entry(at: mountpoint) == nil)
        }
      }
    }
  }
}

/// A mapping of a process, from /proc/PID/smaps. Sizes in KiB.
private struct Mapping: CustomStringConvertible {
  var description = ""
  var path = ""
  var isExecutable = false
  var size = 0
  var resident = 0
  var flags: [Substring] = []

  /// `lo`, *proc(5)*: VM_LOCKED.
  var isLocked: Bool { flags.contains("lo") }
  /// Pages that the kernel shares with every process, and those of devices, are no memory of the process; nor is what it may take
  /// away at any time (`dp`, MAP_DROPPABLE), which glibc 2.41 keeps the state of getrandom(2) in.
  var isTheKernels: Bool { path.hasPrefix("[v") || !Set(flags).isDisjoint(with: ["io", "pf", "dp"]) }

  static func all(of process: pid_t) async throws -> [Mapping] {
    var result: [Mapping] = []
    // Foundation takes the first short read for the end.
    for line in try await succeed(["cat", "/proc/\(process)/smaps"]).stdout.split(separator: "\n") {
      let words = line.split(separator: " ")
      // "7f..-7f.. r-xp 0000 08:01 123 /path" begins a mapping, "Size: 4 kB" says something of it.
      if words.count >= 5, words[0].contains("-"), !words[0].hasSuffix(":") {
        result.append(
          Mapping(
            description: String(line), path: words.dropFirst(5).joined(separator: " "), isExecutable: words[1].contains("x")))
      } else if !result.isEmpty, words.count >= 2 {
        let last = result.count - 1
        switch words[0] {
        case "Size:": result[last].size = Int(words[1]) ?? 0
        case "Rss:": result[last].resident = Int(words[1]) ?? 0
        case "VmFlags:": result[last].flags = Array(words.dropFirst())
        default: break
        }
      }
    }
    return result
  }
}
