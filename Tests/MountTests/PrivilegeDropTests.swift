import Foundation
import TestSupport
import Testing

extension MountTests {
  /// `--drop-privileges`: root mounts, and a user without rights serves.
  @Suite struct PrivilegeDropTests {
    static let drop = ["--drop-privileges", "nobody"]

    /// A line of /proc/PID/status, as words.
    static func status(_ name: String, _ process: String) throws -> [Substring] {
      words(name, in: try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8))
    }

    private static func words(_ name: String, in status: String) -> [Substring] {
      let line = status.split(separator: "\n").first { $0.hasPrefix("\(name):") }
      return line.map { Array($0.split { " \t".contains($0) }.dropFirst()) } ?? []
    }

    /// Every thread is nobody, and has no right that nobody lacks.
    static func expectNobody(_ process: pid_t, sourceLocation: SourceLocation = #_sourceLocation) throws {
      let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task").compactMap { thread in
        // A thread may end while we look.
        try? String(contentsOfFile: "/proc/\(process)/task/\(thread)/status", encoding: .utf8)
      }
      #expect(threads.count > 1, sourceLocation: sourceLocation)
      for thread in threads {
        for name in ["Uid", "Gid"] {
          #expect(words(name, in: thread) == ["65534", "65534", "65534", "65534"], "\(name)", sourceLocation: sourceLocation)
        }
        #expect(words("Groups", in: thread) == ["65534"], sourceLocation: sourceLocation)
        for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
          #expect(words(name, in: thread) == ["0000000000000000"], "\(name)", sourceLocation: sourceLocation)
        }
        #expect(words("NoNewPrivs", in: thread) == ["1"], sourceLocation: sourceLocation)
      }
      // The kernel gives a process that must not be dumped, or looked into, to root.
      let owner = try FileManager.default.attributesOfItem(atPath: "/proc/\(process)/environ")[.ownerAccountID] as? Int
      #expect(owner == 0, sourceLocation: sourceLocation)
    }

    /// The processes that a mount has started.
    static func expectGone(_ processes: [pid_t]) async throws {
      try await poll("\(processes) to be gone", within: .seconds(5)) {
        !processes.contains { FileManager.default.fileExists(atPath: "/proc/\($0)/exe") }
      }
    }

    static func disk(_ directory: TemporaryDirectory) throws -> ServerKind {
      .nbdkit(["file", try directory.sparseFile("disk", size: 64 * mib)])
    }

    /// It reads and writes, outlives its server, and unmounts at the end.
    @Test(arguments: Client.perEngine, ["nobody", "65534"])
    func theMountIsServedByTheUser(_ client: Client, _ user: String) async throws {
      try await withTemporaryDirectory { directory in
        let kind = try Self.disk(directory)
        let source = try await Pattern.file("source", size: 4 * mib, in: directory)
        try await withServer(kind, over: .tcp, in: directory) { server in
          try await client.mount(server, options: ["--drop-privileges", user], in: directory) { mount in
            let helpers = try mount.process.children()
            #expect(helpers.count == 1, "the process that keeps root")
            try Self.expectNobody(mount.process.pid)
            try await mount.succeed(copyRange(0, 2 * mib, from: source, to: mount.file))
            try await server.crash()
            try await withServer(kind, at: server.endpoint, in: directory) { _ in
              try await mount.succeed(copyRange(2 * mib, 2 * mib, from: source, to: mount.file, flags: "direct"))
              try await mount.succeed(["cmp", "-n", "\(4 * mib)", source, mount.file])
              try Self.expectNobody(mount.process.pid)
              try await withWriter(of: source, on: mount) { _ in
                _ = try await mount.end(SIGTERM, within: .seconds(20))
              }
              try expectEnded(mount, .success, in: directory)
              #expect(mount.process.stderr.contains("still in use"))
              try await Self.expectGone(helpers)
            }
          }
        }
        try await succeed(["cmp", "-n", "\(4 * mib)", source, directory / "disk"])
      }
    }

    /// Root has made it, and it is root's: the user's other processes are as little let in as anybody's.
    @Test(arguments: Client.perEngine)
    func theMountIsRootsAndNotTheUsers(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try Self.disk(directory), over: .tcp, in: directory) { server in
          try await client.mount(server, options: Self.drop, in: directory) { mount in
            #expect(try await statField("%u %g %a", of: mount.file, mount) == "0 0 600")
            let refused = try await mount.run(UserTests.nobody + ["cat", mount.file])
            #expect(refused.stderr.contains("Permission denied"))
          }
          let options = Self.drop + ["-o", "allow_other,uid=65534,umask=077"]
          try await client.mount(server, options: options, in: directory) { mount in
            try await mount.succeed(UserTests.nobody + copyRange(0, 4096, from: "/dev/zero", to: mount.file))
          }
        }
      }
    }

    /// What takes root while the mount is there: the size is put right, also that of a file that is mounted over.
    @Test(arguments: Client.perEngine)
    func theSizeIsKept(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try Self.disk(directory), over: .tcp, in: directory) { server in
          let covered = try directory.sparseFile("covered", size: 1)
          try await withMount(
            [server.uri()], options: Self.drop, engine: client.engine, at: .over(covered), in: directory
          ) { mount in
            #expect(try await statField("%s", of: mount.file, mount) == "\(64 * mib)")
            let beyond = [
              "dd", "if=/dev/zero", "of=\(mount.file)", "bs=4k", "count=1", "seek=\(64 * mib / 4096)", "conv=notrunc,fsync",
            ]
            #expect(try await !mount.run(beyond).succeeded)
            try await poll("the size to be right", within: .seconds(20)) {
              // It is put right when somebody looks.
              try await statField("%s", of: mount.file, mount) == "\(64 * mib)"
            }
            _ = try await mount.end(SIGTERM, within: .seconds(20))
            try expectEnded(mount, .success, in: directory)
          }
        }
      }
    }

    /// A server that is started for the mount is the user's from the beginning: so it can be started again, and ended.
    @Test(arguments: Client.perEngine, [["["], ["--command"]])
    func aStartedServerIsTheUsers(_ client: Client, _ mode: [String]) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("disk", size: 64 * mib)
        let temporary = try directory.subdirectory("tmp")
        try await succeed(["chmod", "0666", image])
        try await succeed(["chmod", "1777", temporary])
        let server = mode == ["["] ? ["[", "nbdkit", "file", image, "]"] : ["--command", "nbdkit", "-s", "file", image]
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withMount(
          server, options: Self.drop, engine: client.engine, in: directory, launcher: ["env", "TMPDIR=\(temporary)"]
        ) { mount in
          func nbdkit() throws -> pid_t? {
            try mount.process.children().first { try Self.status("Name", "\($0)") == ["nbdkit"] }
          }
          let first = try #require(try nbdkit())
          try Self.expectNobody(mount.process.pid)
          #expect(try Self.status("Uid", "\(first)") == Array(repeating: "65534", count: 4))
          #expect(try Self.status("CapEff", "\(first)") == ["0000000000000000"])
          try await mount.succeed(copyRange(0, 64 * kib, from: source, to: mount.file))
          kill(first, SIGKILL)
          try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=64k", "oflag=direct", "conv=notrunc,fsync"])
          let second = try #require(try nbdkit())
          #expect(second != first)
          #expect(try Self.status("Uid", "\(second)") == Array(repeating: "65534", count: 4))
          _ = try await mount.end(SIGTERM, within: .seconds(20))
          try expectEnded(mount, .success, in: directory)
          try await Self.expectGone([second])
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: temporary) == [])
        try await succeed(["cmp", "-n", "\(mib)", source, image])
      }
    }

    @Test(arguments: Client.perEngine)
    func theBackgroundProcessIsTheUsers(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try Self.disk(directory), over: .tcp, in: directory) { server in
          let mountpoint = try directory.subdirectory("mnt")
          let pidFile = directory / "pid"
          let options = Self.drop + ["--background", "--engine", client.engine.rawValue, "-P", pidFile, mountpoint, server.uri()]
          try await succeed([try Layout.nbdmount()] + options)
          do {
            let text = try String(contentsOfFile: pidFile, encoding: .utf8)
            let process = try #require(pid_t(text.trimmingCharacters(in: .newlines)))
            try Self.expectNobody(process)
            try await succeed(["cmp", "-n", "4096", "/dev/zero", mountpoint + "/nbd"])
            kill(process, SIGTERM)
            try await Self.expectGone([process])
          } catch {
            _ = try? await run(["umount", "-l", mountpoint])
            throw error
          }
          #expect(MountTable.entry(at: mountpoint) == nil)
          #expect(!FileManager.default.fileExists(atPath: pidFile))
        }
      }
    }

    /// A socket that only root may open is said to be one: that connection is the last.
    @Test(arguments: [false, true])
    func aSocketThatTheUserMayNotOpenIsSaid(isOpen: Bool) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try Self.disk(directory), in: directory) { server in
          guard case .unix(let socket) = server.endpoint else { throw TestFailure("not a Unix socket") }
          try await succeed(["chmod", isOpen ? "0777" : "0700", socket])
          try await withMount([server.uri()], options: Self.drop, engine: .reactor, in: directory) { mount in
            let isSaid = mount.process.stderr.contains("nobody may not open Unix socket \(socket)")
            #expect(isSaid == !isOpen, "\(mount.process.stderr)")
            try await mount.succeed(["cmp", "-n", "4096", "/dev/zero", mount.file])
          }
        }
      }
    }

    /// Before anything is mounted or started.
    @Test func whoCannotBeBecomeIsRefused() async throws {
      try await withTemporaryDirectory { directory in
        let mountpoint = try directory.subdirectory("mnt")
        let started = directory / "started"
        let program = directory / "nbdmount"
        try await succeed(["install", "-m", "0755", try Layout.nbdmount(), program])
        let noSetuid = ["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid"]
        let refusals: [(launcher: [String], user: String, words: String)] = [
          (UserTests.nobody, "nobody", "--drop-privileges is for root"), ([], "root", "that is root"), ([], "0", "that is root"),
          ([], "nbdmount-no-such-user", "there is no user nbdmount-no-such-user"),
          ([], "4294967290", "there is no user 4294967290"),
          ([], "", "Missing value for '--drop-privileges <USER>'"), (noSetuid, "nobody", "becoming nobody: Operation not permitted"),
        ]
        for background in [[], ["--background"]] {
          for refusal in refusals {
            let options = ["--drop-privileges", refusal.user] + background + [mountpoint]
            let output = try await run(refusal.launcher + [program] + options + ["[", "touch", started, "]"])
            #expect(output.status == .exited(1) && output.stderr.contains(refusal.words), "\(refusal): \(output)")
            #expect(output.stderr.split(separator: "\n").count == 1, "\(output)")
            #expect(MountTable.entry(at: mountpoint) == nil)
          }
        }
        #expect(!FileManager.default.fileExists(atPath: started))
      }
    }

    /// /dev/stdout is ours and not that of the process that writes the pid file.
    @Test(arguments: Client.perEngine)
    func thePIDFileMayBeTheOutput(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(try Self.disk(directory), over: .tcp, in: directory) { server in
          let mountpoint = try directory.subdirectory("mnt")
          let options = Self.drop + ["--engine", client.engine.rawValue, "-P", "/dev/stdout"]
          let piped = ["sh", "-c", "\"$@\" | cat", "sh", try Layout.nbdmount()] + options + [mountpoint, server.uri()]
          try await withChildProcess(piped) { process in
            try await poll("the number", within: .seconds(10)) { process.stdout.hasSuffix("\n") }
            let number = process.stdout.trimmingCharacters(in: .newlines)
            #expect(try Self.status("Uid", number).first == "65534")
            try await succeed(["fusermount3", "-u", mountpoint])
            let status = try await process.exitStatus(within: .seconds(20))
            #expect(status == .success)
          }
        }
      }
    }

    /// The limit stays when the capability goes: so there must be none, or memory could not be had one day.
    @Test(arguments: Client.perEngine)
    func lockedMemoryNeedsNoLimitThen(_ client: Client) async throws {
      let unlimited = MemoryPressureTests.shell("ulimit -l unlimited 2>/dev/null;")
      let limit = try await succeed(unlimited + ["sh", "-c", "ulimit -H -l"]).stdout.trimmingCharacters(in: .newlines)
      try await withTemporaryDirectory { directory in
        try await withServer(try Self.disk(directory), over: .tcp, in: directory) { server in
          if limit == "unlimited" {
            try await withMount([server.uri()], options: Self.drop + ["--mlock"], engine: client.engine, in: directory) { mount in
              try await mount.succeed(["cmp", "-n", "\(mib)", "/dev/zero", mount.file])
              #expect(try Self.status("VmLck", "\(mount.process.pid)").first != "0")
            }
          } else {
            let mountpoint = try directory.subdirectory("mnt")
            let output = try await run([try Layout.nbdmount()] + Self.drop + ["--mlock", mountpoint, server.uri()])
            #expect(output.status == .exited(1), "\(output)")
            #expect(output.stderr.contains("no limit on locked memory, which is \(limit) KiB"), "\(output)")
          }
        }
      }
    }
  }
}
