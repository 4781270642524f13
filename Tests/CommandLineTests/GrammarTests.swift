import Glibc
import Testing

@testable import NBDMount

/// The words of a command line, separated by single spaces.
private func outcome(_ line: String) -> CommandLineOutcome {
  CommandLineOutcome(arguments: line.split(separator: " ").map(String.init))
}

private func configuration(_ line: String) throws -> MountConfiguration {
  guard case .mount(let result) = outcome(line) else {
    throw UsageError("\(line) came to \(outcome(line))")
  }
  return result
}

@Suite struct GrammarTests {
  @Test(arguments: [
    ("dir nbd://host/disk", "dir", ServerLocation.uri("nbd://host/disk")),
    ("dir/disk.img nbd+unix:///?socket=/s", "dir/disk.img", .uri("nbd+unix:///?socket=/s")),
    ("dir [ nbdkit memory 1G ]", "dir", .socketActivation(["nbdkit", "memory", "1G"])),
    (
      "dir [ nbdkit -s -r -C 9 --help -- x ]", "dir",
      .socketActivation(["nbdkit", "-s", "-r", "-C", "9", "--help", "--", "x"])
    ),
    ("dir [ a ] ]", "dir", .socketActivation(["a", "]"])),
    ("dir --socket-activation qemu-nbd -f raw f", "dir", .socketActivation(["qemu-nbd", "-f", "raw", "f"])),
    ("dir --command nbdkit -s --verbose null -V", "dir", .command(["nbdkit", "-s", "--verbose", "null", "-V"])),
    ("dir --command x --help", "dir", .command(["x", "--help"])),
    ("dir --command x --fuse-help --version -h", "dir", .command(["x", "--fuse-help", "--version", "-h"])),
    ("dir --fd 3", "dir", .fd(3)),
    ("dir --tcp ::1 10809", "dir", .tcp(host: "::1", port: 10809)),
    ("dir --unix /run/nbd.sock", "dir", .unix(path: "/run/nbd.sock")),
    ("dir --unix -odd", "dir", .unix(path: "-odd")),
    ("dir --vsock 2 10809", "dir", .vsock(cid: 2, port: 10809)),
    ("-- -dir nbd://host", "-dir", .uri("nbd://host")),
    ("-r -- -dir --fd 4", "-dir", .fd(4)),
  ])
  func theModeIsEverythingAfterTheMountpoint(line: String, mountpoint: String, server: ServerLocation) throws {
    let result = try configuration(line)
    #expect(result.mountpoint == mountpoint)
    #expect(result.server == server)
  }

  @Test func nothingGivenIsTheDefaults() throws {
    let result = try configuration("dir nbd://h")
    #expect(
      result
        == MountConfiguration(
          server: .uri("nbd://h"), exportName: nil, mountpoint: "dir",
          connections: min(4, sysconf(Int32(_SC_NPROCESSORS_ONLN))), isReadOnly: false,
          engine: .reactor, cache: nil, fuse: FuseOptions(), debugsFuse: false, isSingleThreaded: false,
          isVerbose: false, pidFile: nil, runsInBackground: false, busyPollMicroseconds: nil, readAhead: nil,
          locksMemory: false))
  }

  @Test(arguments: [
    "-C 7 -r -s -v -P pid -o uid=5,gid=6 -o umask=077",
    "-C7 -rsv -Ppid -ouid=5 -ogid=6,umask=077",
    "--connections 7 --readonly -s --verbose --pidfile pid -o uid=5,gid=6,umask=77",
    "--connections=7 --read-only -sv --pid-file=pid -o uid=5,gid=6,umask=077",
  ])
  func optionsInEveryNbdfuseSpelling(options: String) throws {
    let result = try configuration(options + " dir nbd://h")
    #expect(result.connections == 7)
    #expect(result.isReadOnly && result.isSingleThreaded && result.isVerbose && !result.debugsFuse)
    #expect(result.pidFile == "pid")
    #expect(result.fuse.userID == 5 && result.fuse.groupID == 6 && result.fuse.umask == 0o77)
  }

  @Test func ourOwnOptions() throws {
    let result = try configuration(
      "--export disk --engine threads --cache writethrough --background --busy-poll-us 20 --read-ahead 1M --mlock "
        + "--drop-privileges nobody d --unix s")
    #expect(result.exportName == "disk")
    #expect(result.engine == .threads && result.cache == .writethrough)
    #expect(result.runsInBackground && result.locksMemory)
    #expect(result.busyPollMicroseconds == 20 && result.readAhead == 1 << 20)
    #expect(result.servingUser == "nobody")
    #expect(try configuration("--cache none d nbd://h").cache == CacheMode.none)
    #expect(try configuration("-o direct_io d nbd://h").cache == CacheMode.none)
    #expect(try configuration("-o ro d nbd://h").isReadOnly)
  }

  @Test(arguments: ["-d --background", "--background -f"])
  func debuggingAndForegroundOverrideBackground(options: String) throws {
    let result = try configuration(options + " d nbd://h")
    #expect(!result.runsInBackground)
    #expect(result.debugsFuse == options.hasPrefix("-d") && result.isVerbose == options.hasPrefix("-d"))
  }

  @Test(arguments: ["--fd 5", "--command nbdkit", "[ nbdkit ]"])
  func subprocessAndDescriptorModesHaveOneConnection(mode: String) throws {
    #expect(try configuration("-C 8 dir " + mode).connections == 1)
  }

  @Test(arguments: [
    ("", "--help"), ("-r", "missing MOUNTPOINT"), ("dir", "missing the server"),
    ("--bogus dir nbd://h", "--bogus"), ("-x dir nbd://h", "-x"),
    ("dir --bogus x", "unknown option --bogus"), ("dir somewhere", "not a URI"), ("dir nbd://h x", "unexpected x"),
    ("-- dir nbd://h -r", "unexpected -r"), ("dir [ nbdkit ] -r", "missing ]"), ("dir nbd://h --fd 3", "unexpected --fd"),
    ("dir [ nbdkit", "missing ]"), ("dir [ ]", "needs a command"), ("dir [", "missing ]"),
    ("dir --command", "needs a command"), ("dir --socket-activation", "needs a command"),
    ("dir --fd", "--fd needs N"), ("dir --fd x", "x is not a file descriptor"), ("dir --fd -1", "-1 is not"),
    ("dir --fd 3 4", "unexpected 4"), ("dir --fd 99999999999", "is not a file descriptor"),
    ("dir --tcp h", "HOST and PORT"), ("dir --tcp h 0", "not a TCP port"), ("dir --tcp h 65536", "not a TCP port"),
    ("dir --tcp h no-such-service", "not a TCP port"), ("dir --tcp h 1 2", "unexpected 2"),
    ("dir --unix", "SOCKET"), ("dir --unix a b", "unexpected b"),
    ("dir --vsock 2", "CID and PORT"), ("dir --vsock x 1", "vsock CID"), ("dir --vsock 2 4294967296", "vsock port"),
    ("-C 0 dir nbd://h", "1 to 256"), ("-C 257 dir nbd://h", "1 to 256"), ("-C x dir nbd://h", "x"),
    ("-C", "-C"), ("--drop-privileges= dir nbd://h", "--drop-privileges"),
    ("--engine steam dir nbd://h", "steam"), ("--cache all dir nbd://h", "all"),
    ("--read-ahead 1X dir nbd://h", "1X"), ("--busy-poll-us -1 dir nbd://h", "busy-poll-us"),
    ("--export e dir nbd://h", "--export"), ("-o uid=x dir nbd://h", "uid=x"),
  ])
  func badUsageIsOneClearLine(line: String, mention: String) {
    guard case .refuse(let message) = outcome(line) else {
      Issue.record("\(line) came to \(outcome(line))")
      return
    }
    #expect(message.contains(mention), "\(message)")
    #expect(!message.contains("\n"))
    #expect(!message.isEmpty)
  }

  @Test func emptyWordsAreRefused() {
    for words in [
      ["", "nbd://h"], ["dir", ""], ["dir", "--unix", ""], ["dir", "--tcp", "", "1"], ["dir", "--command", ""],
    ] {
      guard case .refuse = CommandLineOutcome(arguments: words) else {
        Issue.record("\(words) was accepted")
        continue
      }
    }
  }

  @Test(arguments: ["--help", "-h", "-r --help", "--help dir nbd://h", "-C 2 -v --help dir"])
  func helpShowsModesOptionsAndExamples(line: String) throws {
    guard case .show(let text) = outcome(line) else {
      Issue.record("\(line) came to \(outcome(line))")
      return
    }
    for part in [
      "EXAMPLES", "--unix SOCKET", "--connections", "--background", "--read-only", "fusermount3 -u", "--socket-activation",
    ] {
      #expect(text.contains(part), "\(part)")
    }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.allSatisfy { $0.count <= 80 })
    #expect(lines.count <= 66)
  }

  @Test func otherRequestsAreShown() {
    #expect(outcome("-V") == .show("nbdmount \(MountCommand.version)"))
    #expect(outcome("--version") == .show("nbdmount \(MountCommand.version)"))
    #expect(outcome("--fuse-help") == .show(FuseOptions.helpText))
    for shell in ["bash", "zsh", "fish"] {
      guard case .show(let script) = outcome("--generate-completion-script \(shell)") else {
        Issue.record("no completions for \(shell)")
        continue
      }
      #expect(script.contains("nbdmount") && script.contains("busy-poll-us"))
    }
  }

  @Test func byteSizes() {
    #expect(ByteSize(argument: "0")?.bytes == 0)
    #expect(ByteSize(argument: "4096")?.bytes == 4096)
    #expect(ByteSize(argument: "128k")?.bytes == 131_072)
    #expect(ByteSize(argument: "2MiB")?.bytes == 2 << 20)
    #expect(ByteSize(argument: "1T")?.bytes == 1 << 40)
    for bad in ["", "M", "-1", "1.5M", "1 M", "99999999999T", "9223372036854775808", "١"] {
      #expect(ByteSize(argument: bad) == nil, "\(bad)")
    }
  }
}
