import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import NBDProtocol

@Suite(.timeLimit(.minutes(10))) struct TransportDeadlineTests {
  @Test func arithmetic() {
    #expect(Deadline.after(milliseconds: -5).hasPassed)
    #expect(Deadline.after(milliseconds: 0).pollTimeout == 0)
    #expect(Deadline.never.pollTimeout == -1 && !Deadline.never.hasPassed)
    #expect(Deadline.after(milliseconds: .max) == .never)
    #expect((59_000...60_000).contains(Deadline.after(milliseconds: 60_000).pollTimeout))
    #expect(Deadline.after(milliseconds: 1 << 40).pollTimeout == .max)
    #expect((14_000...15_000).contains(Deadline.after(milliseconds: 60_000).share(of: 4).pollTimeout))
    #expect(Deadline.never.share(of: 4) == .never)
  }

  /// A listener that accepts nothing and has no room left: Unix says EAGAIN, TCP drops the packets.
  @Test(arguments: [AF_UNIX, AF_INET]) func silentListenerTimesOut(family: Int32) async throws {
    try await blocking {
      let scratch = try Scratch()
      let listener =
        family == AF_INET
        ? try Listener(backlog: 0)
        : try Listener(try SocketAddress(unixPath: Array(scratch.file("s").utf8)), backlog: 0)
      let crowd = try listener.fill()
      let start = ContinuousClock.now
      let error = #expect(throws: NBDError.self) {
        _ = try Connector.connect(toFirstOf: [listener.address], named: "it", deadline: .after(milliseconds: 300))
      }
      #expect(error == .timedOut("connecting to it"))
      let elapsed = ContinuousClock.now - start
      #expect(elapsed >= .milliseconds(299) && elapsed < .seconds(5), "\(elapsed)")
      withExtendedLifetime(crowd) {}
    }
  }

  @Test func roomInAUnixBacklogIsWaitedFor() async throws {
    try await blocking {
      let scratch = try Scratch()
      let listener = try Listener(try SocketAddress(unixPath: Array(scratch.file("s").utf8)), backlog: 0)
      let crowd = try listener.fill()
      let number = listener.socket.rawValue
      // Room comes while connect waits, or just before: both must end in a connection.
      let accepting = Threaded { _ = accept(number, nil, nil) }
      let socket = try Connector.connect(to: listener.address, deadline: .after(milliseconds: 10_000))
      accepting.join()
      #expect(fcntl(socket.rawValue, F_GETFL) & O_NONBLOCK != 0)
      var timeout = timeval(tv_sec: 1, tv_usec: 1)
      var size = socklen_t(MemoryLayout<timeval>.size)
      #expect(getsockopt(socket.rawValue, SOL_SOCKET, SO_SNDTIMEO, &timeout, &size) == 0)
      #expect(timeout.tv_sec == 0 && timeout.tv_usec == 0, "sending must not inherit the deadline")
      withExtendedLifetime(crowd) {}
    }
  }

  @Test func oneSilentAddressLeavesTimeForTheNext() async throws {
    try await blocking {
      let silent = try Listener(backlog: 0)
      let crowd = try silent.fill()
      let listener = try Listener()
      let start = ContinuousClock.now
      let socket = try Connector.connect(
        toFirstOf: [silent.address, listener.address], named: "two", deadline: .after(milliseconds: 4000))
      #expect(ContinuousClock.now - start < .milliseconds(3900))
      #expect(try Syscall.peerAddress(socket.rawValue).bytes == listener.address.bytes)
      withExtendedLifetime(crowd) {}
    }
  }

  /// Signals a thousand times a second neither fail nor prolong anything.
  @Test func aStormOfSignalsChangesNothing() async throws {
    try await blocking {
      var action = sigaction()
      var previous = sigaction()
      action.__sigaction_handler.sa_handler = { _ in signalsHandled.add(1, ordering: .relaxed) }  // and no SA_RESTART
      sigaction(SIGUSR1, &action, &previous)
      defer {
        // One that still waits for this thread is dropped first: it would be deadly for the process.
        signal(SIGUSR1, SIG_IGN)
        sigaction(SIGUSR1, &previous, nil)
      }
      // Dispatch's threads block every signal.
      var unblocked = sigset_t()
      var before = sigset_t()
      sigemptyset(&unblocked)
      sigaddset(&unblocked, SIGUSR1)
      pthread_sigmask(SIG_UNBLOCK, &unblocked, &before)
      defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

      let scratch = try Scratch()
      let full = try Listener(try SocketAddress(unixPath: Array(scratch.file("s").utf8)), backlog: 0)
      let crowd = try full.fill()
      let silent = try Listener(backlog: 0)
      let tcpCrowd = try silent.fill()
      let open = try Listener(host: "127.0.0.1", backlog: 256)

      let storm = Storm(at: pthread_self())
      defer { storm.stop() }
      let start = ContinuousClock.now
      for address in [full.address, silent.address] {
        let error = #expect(throws: Errno.self) { _ = try Connector.connect(to: address, deadline: .after(milliseconds: 400)) }
        #expect(error == .timedOut)
      }
      #expect(ContinuousClock.now - start < .seconds(5))
      for _ in 0..<200 {
        let socket = try Connector.connect(to: open.address, deadline: .after(milliseconds: 10_000))
        #expect(try Syscall.poll(socket.rawValue, for: Int32(POLLIN), until: .after(milliseconds: 2)) == false)
      }
      storm.stop()
      let handled = signalsHandled.load(ordering: .relaxed)
      #expect(handled > 100, "\(handled) signals were handled")
      withExtendedLifetime((crowd, tcpCrowd)) {}
    }
  }
}

/// A thread of its own, joined before what it uses goes away.
private final class Threaded {
  private var thread = pthread_t()
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  init(_ body: @escaping @Sendable () -> Void) {
    let retained = Unmanaged.passRetained(Body(body)).toOpaque()
    pthread_create(&thread, nil, { argument in
      if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
      return nil
    }, retained)
  }

  func join() { pthread_join(thread, nil) }
}

private let signalsHandled = Atomic(0)

/// Sends SIGUSR1 to one thread every millisecond.
private final class Storm: Sendable {
  private let isOver = Atomic(false)
  private let thread = Mutex<Threaded?>(nil)

  init(at target: pthread_t) {
    thread.withLock {
      $0 = Threaded { [self] in
        while !isOver.load(ordering: .relaxed) {
          pthread_kill(target, SIGUSR1)
          usleep(1000)
        }
      }
    }
  }

  func stop() {
    isOver.store(true, ordering: .relaxed)
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
  }
}
