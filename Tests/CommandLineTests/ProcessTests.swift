import Glibc
import NBDProtocol
import SystemPackage
import Testing

@testable import NBDMount

@Suite struct ProcessTests {
  @Test func thePidFileAppearsWholeAndIsRemoved() throws {
    let directory = try TemporaryDirectory()
    try directory.write("an older file", to: "pid")
    let file = try PIDFile(path: directory("pid"))
    #expect(try readWholeFile(directory("pid")) == Array("\(getpid())\n".utf8))
    #expect(directory.names == ["pid"], "no temporary file is left")
    file.remove()
    #expect(directory.names == [])
  }

  @Test func anothersPidFileStays() throws {
    let directory = try TemporaryDirectory()
    let file = try PIDFile(path: directory("pid"))
    try directory.write("1\n", to: "pid")
    file.remove()
    #expect(directory.names == ["pid"])
  }

  @Test func aPidFileThatIsADeviceIsNeitherReplacedNorRemoved() throws {
    let file = try PIDFile(path: "/dev/null")
    file.remove()
    var status = stat()
    #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
  }

  /// Nobody waits for whoever reads it; who does, gets it.
  @Test(.timeLimit(.minutes(1))) func aPidFileThatIsAPipeIsWrittenWhenSomebodyReads() throws {
    let directory = try TemporaryDirectory()
    #expect(mkfifo(directory("pid"), 0o600) == 0)
    let file = try PIDFile(path: directory("pid"))
    #expect(try readWholeFile(directory("pid")) == Array("\(getpid())\n".utf8))
    file.remove()
    #expect(directory.names == ["pid"])
  }

  /// As /dev/stdout is, where root has redirected the output.
  @Test func aLinkToAFileIsNotReplacedByThePidFile() throws {
    let directory = try TemporaryDirectory()
    try directory.write("output", to: "file")
    #expect(symlink(directory("file"), directory("link")) == 0)
    #expect(throws: NBDError.self) { try PIDFile(path: directory("link")) }
    #expect(try readWholeFile(directory("file")) == Array("output".utf8))
    var status = stat()
    #expect(lstat(directory("link"), &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
  }

  @Test func aPidFileInNoDirectoryIsAnError() {
    #expect(throws: NBDError.self) { try PIDFile(path: "/nbdmount-no-such-directory/pid") }
  }

  @Test(arguments: [false, true])
  func theServiceManagerGetsOneDatagram(abstract: Bool) throws {
    let directory = try TemporaryDirectory()
    // Abstract names are global: the directory's name makes this one unique.
    let address = abstract ? "@" + directory.path : directory("notify")
    let manager = try datagramSocket(boundTo: address)
    defer { close(manager) }
    try ServiceNotification(address: address).ready()
    var buffer = [UInt8](repeating: 0, count: 64)
    let count = recv(manager, &buffer, buffer.count, Int32(MSG_DONTWAIT))
    #expect(String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self) == "READY=1\n")
  }

  /// The socket takes a few datagrams, and then nobody has read them.
  @Test(.timeLimit(.minutes(1))) func aServiceManagerThatDoesNotReadKeepsNobodyWaiting() throws {
    let directory = try TemporaryDirectory()
    let manager = try datagramSocket(boundTo: directory("notify"))
    defer { close(manager) }
    let notification = ServiceNotification(address: directory("notify"))
    var refused = 0
    for _ in 0..<5000 {
      do { try notification.send("STATUS=again\n") } catch { refused += 1 }
    }
    #expect(refused > 0)
    #expect(throws: NBDError.self) { try notification.ready() }
  }

  @Test(arguments: ["relative", "/" + String(repeating: "x", count: 108), "/nbdmount-no-such-socket"])
  func aUselessNotifySocketIsAnError(address: String) {
    #expect(throws: NBDError.self) { try ServiceNotification(address: address).ready() }
  }

  @Test func aHelpersEndAndWordsAreReported() throws {
    let good = try HelperProcess.run(["sh", "-c", "echo out; echo err >&2"], deadline: .seconds(30))
    #expect(good.succeeded && good.output == "out\nerr\n")
    let bad = try HelperProcess.run(["sh", "-c", "echo why; exit 3"], deadline: .seconds(30))
    #expect(bad.end == .exited(3) && bad.explanation == "why")
    let killed = try HelperProcess.run(["sh", "-c", "kill -9 $$"], deadline: .seconds(30))
    #expect(killed.end == .killed(signal: 9))
    #expect(throws: NBDError.system(.noSuchFileOrDirectory, doing: "starting nbdmount-no-such-program")) {
      try HelperProcess.run(["nbdmount-no-such-program"], deadline: .seconds(30))
    }
  }

  @Test func aHelperThatHangsIsKilledAtTheDeadline() throws {
    let start = ContinuousClock.now
    let result = try HelperProcess.run(["sleep", "600"], deadline: .milliseconds(100))
    #expect(result.end == nil && !result.succeeded)
    #expect(ContinuousClock.now - start >= .milliseconds(100))
  }

  /// A child that has ended and is not reaped would also keep the test runner's own children waiting.
  @Test func aHelperThatWasKilledLeavesNoZombie() throws {
    let directory = try TemporaryDirectory()
    _ = try HelperProcess.run(["sh", "-c", "echo $$ >\(directory("pid")); exec sleep 600"], deadline: .seconds(1))
    let text = String(decoding: try readWholeFile(directory("pid")), as: UTF8.self)
    let pid = try #require(pid_t(text.trimmingPrefix(" ").prefix { $0.isNumber }))
    #expect(kill(pid, 0) == -1 && errno == ESRCH)
  }

  @Test func aHelperThatPrintsWithoutEndIsCutShort() throws {
    let result = try HelperProcess.run(["head", "-c", "1000000", "/dev/zero"], deadline: .seconds(30))
    #expect(result.succeeded && result.output.utf8.count == 4096)
  }

  @Test func aHelperInheritsNoDescriptors() throws {
    let pipe = try closeOnExecPipe()
    defer {
      try? pipe.readEnd.close()
      try? pipe.writeEnd.close()
    }
    #expect(fcntl(pipe.readEnd.rawValue, F_SETFD, 0) == 0)
    // The directory's own descriptor is 3.
    let result = try HelperProcess.run(["ls", "/proc/self/fd"], deadline: .seconds(30))
    #expect(result.output == "0\n1\n2\n3\n")
  }

  @Test func aHelperStartsWithNothingBlockedOrIgnored() throws {
    let result = try HelperProcess.run(["grep", "^Sig[BI]", "/proc/self/status"], deadline: .seconds(30))
    let masks = result.output.split(separator: "\n").compactMap { $0.split(separator: "\t").last }
    #expect(masks.count == 2)
    #expect(masks.first.flatMap { UInt64($0, radix: 16) } == 0)
    let ignored = try #require(masks.last.flatMap { UInt64($0, radix: 16) })
    #expect(ignored & (1 << UInt64(SIGPIPE - 1)) == 0)
  }

  @Test func backgroundWaitsForTheReadyMark() throws {
    // The child's side of the protocol, spoken by a shell: one byte on the descriptor that the variable names.
    let ready = "printf R >/proc/self/fd/${\(Background.variable)%%,*}"
    try expectReady(script: ready)
    for script in ["exit 0", "exit 7", "printf X >/proc/self/fd/${\(Background.variable)%%,*}"] {
      let outcome = try Background.launch(arguments: ["sh", "-c", script], executable: "/bin/sh")
      #expect(outcome == .failed && outcome.exitStatus == 1, "\(script)")
    }
  }

  @Test func theBackgroundProcessLeadsASessionOfItsOwn() throws {
    let directory = try TemporaryDirectory()
    // Field 6 of stat is the session; it is the process itself. $PPID would be the test's.
    let script = "read -r line </proc/$$/stat; echo $$ $line >\(directory("out")); "
      + "printf R >/proc/self/fd/${\(Background.variable)%%,*}"
    try expectReady(script: script)
    let fields = String(decoding: try readWholeFile(directory("out")), as: UTF8.self).split(separator: " ")
    #expect(fields.count > 6 && fields[6] == fields[0])
  }

  @Test func readinessIsOneMarkAndTheTerminalIsLeft() async {
    // In a process of its own, because it gives its standard streams away.
    await #expect(processExitsWith: .exitCode(0)) {
      exit(try readinessCheck())
    }
  }

  @Test func aReadyPipeThatIsDroppedSaysThatTheMountFailed() async {
    await #expect(processExitsWith: .exitCode(0)) {
      let pipe = try closeOnExecPipe()
      setenv(Background.variable, String(pipe.writeEnd.rawValue), 1)
      do { _ = ReadyPipe.takeFromEnvironment() }
      exit(try readToEnd(pipe.readEnd).isEmpty ? 0 : 1)
    }
  }

  @Test func aForgedReadyVariableIsIgnored() async {
    await #expect(processExitsWith: .exitCode(0)) {
      for value in ["", "x", "-1", "0", "1", "99999"] {
        setenv(Background.variable, value, 1)
        if ReadyPipe.takeFromEnvironment() != nil { exit(1) }
      }
      exit(0)
    }
  }

  @Test func theNotifySocketIsTakenOutOfTheEnvironment() async {
    await #expect(processExitsWith: .exitCode(0)) {
      setenv("NOTIFY_SOCKET", "/run/x", 1)
      guard ServiceNotification.takeFromEnvironment()?.address == "/run/x" else { exit(1) }
      exit(ServiceNotification.takeFromEnvironment() == nil ? 0 : 2)
    }
  }

  @Test func aSignalReachesTheClosureOnItsThread() async throws {
    let (stream, continuation) = AsyncStream.makeStream(of: TerminationSignals.Signal.self)
    let signals = try TerminationSignals { continuation.yield($0) }
    // Sent to the thread, not the process: the test runner's other threads do not block them.
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { #expect(pthread_kill(signals.thread, signal) == 0) }
    var received: Set<TerminationSignals.Signal> = []
    for await signal in stream {
      received.insert(signal)
      if received.count == 4 { break }
    }
    #expect(received == [.terminate, .interrupt, .hangup, .user1])
  }

  @Test func diagnosticsAreWholePrintableLines() {
    #expect(Diagnostics.format("it \u{1b}[2J\nfailed") == "nbdmount: it \\u{1b}[2J\\u{a}failed\n")
  }
}

/// 0, or the number of the check that failed. A function, so that the directory is removed before exit.
private func readinessCheck() throws -> Int32 {
  let directory = try TemporaryDirectory()
  let pipe = try closeOnExecPipe()
  setenv(Background.variable, String(pipe.writeEnd.rawValue), 1)
  guard let ready = ReadyPipe.takeFromEnvironment() else { return 2 }
  guard getenv(Background.variable) == nil else { return 3 }
  try ready.ready(log: directory("log"))

  // "R", then the end: ready closes the pipe.
  guard try readToEnd(pipe.readEnd) == [0x52] else { return 4 }
  var output = stat()
  var null = stat()
  guard fstat(1, &output) == 0, stat("/dev/null", &null) == 0, output.st_rdev == null.st_rdev else { return 5 }
  Diagnostics.warning("later")
  guard try readWholeFile(directory("log")) == Array("nbdmount: warning: later\n".utf8) else { return 6 }
  return 0
}

private func expectReady(script: String) throws {
  let outcome = try Background.launch(arguments: ["sh", "-c", script], executable: "/bin/sh")
  guard case .ready(let pid) = outcome else { throw UsageError("the background process failed") }
  #expect(outcome.exitStatus == 0)
  #expect(try ProcessEnd(of: pid) == .exited(0))
}

private func readToEnd(_ descriptor: FileDescriptor) throws -> [UInt8] {
  var result: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 16)
  while true {
    let count = try buffer.withUnsafeMutableBytes { try descriptor.read(into: $0) }
    if count == 0 { return result }
    result += buffer.prefix(count)
  }
}

private func datagramSocket(boundTo address: String) throws -> Int32 {
  var socketAddress = sockaddr_un()
  socketAddress.sun_family = sa_family_t(AF_UNIX)
  var name = Array(address.utf8)
  if name.first == UInt8(ascii: "@") { name[0] = 0 }
  withUnsafeMutableBytes(of: &socketAddress.sun_path) { $0.copyBytes(from: name) }
  let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
  let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
  let bound = withUnsafePointer(to: &socketAddress) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
  }
  guard bound == 0 else { throw Errno(rawValue: errno) }
  return descriptor
}
