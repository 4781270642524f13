import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import NBDProtocol

/// Servers that speak on their standard input and output, and inherited descriptors.
@Suite(.timeLimit(.minutes(10))) struct TransportProcessTests {
  private static let soon = Deadline.after(milliseconds: 60_000)

  /// A shell command that first says its process identifier.
  private static func shell(_ script: String) throws -> (endpoint: ServerEndpoint, socket: Int32, process: pid_t) {
    let endpoint = try ServerEndpoint(.command(["sh", "-c", "echo $$; " + script]))
    let socket = try endpoint.connect(deadline: soon).release()
    return (endpoint, socket, try #require(pid_t(try readLine(socket))))
  }

  @Test func nbdkitGreetsOnItsStandardOutput() async throws {
    try await blocking {
      let endpoint = try ServerEndpoint(.command(["nbdkit", "-s", "memory", "1M"]))
      #expect(endpoint.maximumConnections == 1)
      do {
        let socket = try endpoint.connect(deadline: Self.soon)
        #expect(String(decoding: try read(socket.rawValue) { $0.count >= 8 }.prefix(8), as: UTF8.self) == "NBDMAGIC")
        let second = try message { _ = try endpoint.connect(deadline: Self.soon) }
        #expect(second == "server nbdkit serves one connection only")
      }
      endpoint.shutdown()
      let late = try message { _ = try endpoint.connect(deadline: Self.soon) }
      #expect(late == "server nbdkit was shut down")
    }
  }

  @Test func theChildLeavesWhenItsConnectionCloses() async throws {
    try await blocking {
      let (endpoint, socket, process) = try Self.shell("exec cat")
      let handle = try Syscall.openProcess(process)
      #expect(endpoint.processEnding == nil)
      close(socket)
      #expect(try ends(handle))
      #expect(endpoint.processEnding == "exited with status 0")
      endpoint.shutdown()
      #expect(kill(process, 0) == -1 && errno == ESRCH, "not reaped")
      endpoint.shutdown()
    }
  }

  @Test func theChildHasItsOwnGroupDefaultSignalsAndNoDescriptorOfOurs() async throws {
    try await blocking {
      var blocked = sigset_t()
      var before = sigset_t()
      sigemptyset(&blocked)
      sigaddset(&blocked, SIGUSR1)
      pthread_sigmask(SIG_BLOCK, &blocked, &before)
      let handler = signal(SIGUSR2, SIG_IGN)
      defer {
        pthread_sigmask(SIG_SETMASK, &before, nil)
        signal(SIGUSR2, handler)
      }
      let listener = try Listener()
      let connection = try Connector.connect(to: listener.address, deadline: Self.soon)
      let (endpoint, socket, process) = try Self.shell(
        // Not by a child: a shell that waits for one may have signals blocked.
        "while read -r key value; do case $key in SigBlk:|SigIgn:) echo $value;; esac; done </proc/$$/status; "
          + "ls /proc/$$/fd | tr '\\n' ' '; echo; exec cat")
      #expect(getpgid(process) == process && getpgrp() != process)
      let text = String(decoding: try read(socket) { $0.count { $0 == UInt8(ascii: "\n") } == 3 }, as: UTF8.self)
      let lines = text.split(separator: "\n")
      #expect(lines.count == 3)
      // glibc itself ignores 32 and 33 in what it spawns: its own, until the new program's glibc sets them up.
      let internalSignals: UInt64 = 0b11 << 31
      for mask in lines.prefix(2) {
        #expect(try #require(UInt64(mask, radix: 16)) & ~internalSignals == 0, "\(lines)")
      }

      let ours = [listener.socket.rawValue, connection.rawValue, socket].map { descriptorTarget("self", "\($0)") }
      // Others may be there too: those that this process itself inherited.
      let theirs = try #require(lines.last).split(separator: " ").map { descriptorTarget("\(process)", String($0)) }
      let standard = ["0", "1", "2"].map { descriptorTarget("\(process)", $0) }
      #expect(standard[0].hasPrefix("socket:") && standard[0] == standard[1])
      #expect(theirs.count { $0 == standard[0] } == 2, "the socket is there a third time")
      #expect(Set(ours).isDisjoint(with: theirs), "\(theirs)")
      close(socket)
      endpoint.shutdown()
    }
  }

  @Test func aChildThatIgnoresEverythingIsKilledWithItsOwnChildren() async throws {
    try await blocking {
      let (endpoint, socket, process) = try Self.shell("trap '' TERM; sleep 1000 & echo $!; exec sleep 1000")
      let handle = try Syscall.openProcess(process)
      let grandchild = try Syscall.openProcess(try #require(pid_t(try readLine(socket))))
      close(socket)
      let start = ContinuousClock.now
      endpoint.shutdown(termMilliseconds: 100)
      #expect(ContinuousClock.now - start < .seconds(5))
      #expect(try ends(handle) && ends(grandchild))
      #expect(kill(process, 0) == -1 && errno == ESRCH, "not reaped")
    }
  }

  @Test func aStoppedChildIsEnded() async throws {
    try await blocking {
      let (endpoint, socket, process) = try Self.shell("exec cat")
      #expect(kill(process, SIGSTOP) == 0)
      close(socket)
      let start = ContinuousClock.now
      endpoint.shutdown(termMilliseconds: 30_000)
      #expect(ContinuousClock.now - start < .seconds(20), "it took SIGKILL")
      #expect(kill(process, 0) == -1 && errno == ESRCH)
    }
  }

  @Test func aDroppedEndpointEndsItsChild() async throws {
    try await blocking {
      let process: pid_t
      do {
        let (endpoint, socket, child) = try Self.shell("exec cat")
        process = child
        close(socket)
        withExtendedLifetime(endpoint) {}
      }
      #expect(kill(process, 0) == -1 && errno == ESRCH)
    }
  }

  /// nbdkit 1.32 asks for SIGTERM at its parent's end, and the kernel takes the thread that started it for its parent.
  @Test func theEndOfTheThreadThatStartedItIsNothingToTheChild() async throws {
    try await blocking {
      let started = Mutex<(endpoint: ServerEndpoint, process: pid_t, thread: String)?>(nil)
      let thread = try POSIXThread.start("the test") {
        let command = ["setpriv", "--pdeathsig", "TERM", "sh", "-c", "echo $$; exec sleep 1000"]
        guard
          let endpoint = try? ServerEndpoint(.command(command)),
          let socket = try? endpoint.connect(deadline: Self.soon),
          let line = try? readLine(socket.rawValue), let process = pid_t(line)
        else { return }
        started.withLock { $0 = (endpoint, process, linkTarget("/proc/thread-self")) }
      }
      pthread_join(thread, nil)
      let (endpoint, process, starter) = try #require(started.withLock { $0 })
      // The kernel sends the signal after it has let pthread_join return, and before the thread has left its process.
      #expect(eventually { access("/proc/\(starter)", F_OK) != 0 })
      #expect(kill(process, SIGKILL) == 0)
      // Of several deadly signals the first one counts.
      #expect(try Self.waitForEnding(of: endpoint) == "was ended by signal 9")
    }
  }

  @Test func aChildThatExitsAtOnceIsReported() async throws {
    try await blocking {
      let endpoint = try ServerEndpoint(.command(["sh", "-c", "exit 3"]))
      let socket = try endpoint.connect(deadline: Self.soon)
      #expect(try read(socket.rawValue) { _ in false }.isEmpty)
      // The end of the stream comes a moment before the process counts as ended.
      let ending = try Self.waitForEnding(of: endpoint)
      #expect(ending == "exited with status 3")
      let killed = try Self.shell("kill -KILL $$")
      #expect(try Self.waitForEnding(of: killed.endpoint) == "was ended by signal 9")
      close(killed.socket)
    }
  }

  private static func waitForEnding(of endpoint: ServerEndpoint) throws -> String {
    let deadline = Deadline.after(milliseconds: 10_000)
    while !deadline.hasPassed {
      if let ending = endpoint.processEnding { return ending }
      sched_yield()
    }
    throw NBDError.timedOut("waiting for the process to end")
  }

  @Test func commandsThatCannotBeStarted() throws {
    for make in [ServerAddress.command, ServerAddress.socketActivation] {
      let missing = try message { _ = try ServerEndpoint(make(["no-such-server", "x"])) }
      #expect(missing == "starting no-such-server: No such file or directory")
      let notExecutable = try message { _ = try ServerEndpoint(make(["/etc/passwd"])) }
      #expect(notExecutable == "starting /etc/passwd: Permission denied")
      let empty = try message { _ = try ServerEndpoint(make([])) }
      #expect(empty == "there is no command to run")
      let cut = try message { _ = try ServerEndpoint(make(["sh", "a\u{0}b"])) }
      #expect(cut == "an argument of sh contains a NUL byte")
    }
  }

  @Test func anInheritedDescriptorIsChecked() throws {
    let pair = try Syscall.socketpair()
    // As it is inherited: not closed on exec.
    let number = fcntl(pair.near.rawValue, F_DUPFD, 3)
    let endpoint = try ServerEndpoint(.descriptor(number))
    #expect(endpoint.maximumConnections == 1)
    let socket = try endpoint.connect(deadline: Self.soon)
    #expect(socket.rawValue == number && !Syscall.isInheritable(number))
    #expect(fcntl(number, F_GETFL) & O_NONBLOCK != 0)
    #expect(throws: NBDError.self) { _ = try endpoint.connect(deadline: Self.soon) }

    let scratch = try Scratch()
    let pipe = try reportPipe(scratch.file("pipe"))
    let listener = try Listener()
    for (wrong, reason) in [
      (pipe.rawValue, "Socket operation on non-socket"), (Int32.max, "Bad file descriptor"), (-1, "Bad file descriptor"),
      (listener.socket.rawValue, "Transport endpoint is not connected"),
    ] {
      let error = try message { _ = try ServerEndpoint(.descriptor(wrong)) }
      #expect(error == "using file descriptor \(wrong): \(reason)")
    }
    // What was refused is still the caller's.
    #expect(fcntl(pipe.rawValue, F_GETFD) != -1 && fcntl(listener.socket.rawValue, F_GETFD) != -1)
  }

  @Test func anOwnedDescriptorClosesOnceUnlessReleased() throws {
    var ends: [Int32] = [-1, -1]
    // Closed on exec: else a child of another test would keep the far end open. One that is just being started still has a
    // copy of it, for a moment.
    try nothingOrErrno { socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) }
    let near = OwnedDescriptor(ends[0])
    func nearSeesEnd(within milliseconds: Int) throws -> Bool {
      try Syscall.poll(ends[0], for: Int32(POLLIN), until: .after(milliseconds: milliseconds))
    }
    let released = OwnedDescriptor(ends[1]).release()
    #expect(released == ends[1])
    #expect(try !nearSeesEnd(within: 0))
    do { _ = OwnedDescriptor(released) }
    #expect(try nearSeesEnd(within: 10_000))
    #expect(near.rawValue == ends[0])
  }
}
