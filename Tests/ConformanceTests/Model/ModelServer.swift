import Glibc
import NBDProtocol
import SystemPackage
import Synchronization

@testable import NBDConformance

/// An NBD server in this process that keeps every clause, but for its ``Violation``. Each connection is a socket pair and a
/// thread.
final class ModelServer: Target, @unchecked Sendable {
  // Sendable because what changes is in `state`, and the disk has its own lock.
  let offer: Offer
  let violation: Violation?
  let disk: ModelDisk

  struct State {
    var isDead = false
    var isEnding = false
    /// New clients are taken, and hear nothing.
    var isHung = false
    /// How the process ended, as it is told once.
    var crash: String?
    /// The client that is served, of a server that serves one at a time.
    var served: Int32?
    var open: Set<Int32> = []
    /// Connections that are in the transmission phase, by their sockets.
    var serving: Set<Int32> = []
    var counts: [String: Int] = [:]
  }
  let state = Mutex(State())

  init(_ offer: Offer, _ violation: Violation? = nil) {
    self.offer = offer
    self.violation = violation
    disk = ModelDisk(size: offer.size)
  }

  var name: String { "model server" }
  var hasServerForEachConnection: Bool { offer.isCommand }
  var isStartedHere: Bool { true }
  var tcpPort: UInt16? { offer.tcpPort }
  var tls: TLSCredentials? { offer.isAskedForTLS ? ModelTLS.credentials : nil }

  func connect(deadline: Deadline) throws(NBDError) -> OwnedDescriptor {
    if offer.isCommand || violation?.mistakes.contains(.servesOne) ?? false {
      state.withLock { for socket in $0.open { shutdown(socket, Int32(SHUT_RDWR)) } }
    }
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      throw .system(Errno(rawValue: errno), doing: "socketpair")
    }
    let (ours, theirs) = (ends[0], ends[1])
    let isTaken = state.withLock {
      if !$0.isDead { $0.open.insert(ours) }
      return !$0.isDead
    }
    guard isTaken else {
      close(ours)
      close(theirs)
      throw .disconnected("the model server is dead")
    }
    _ = fcntl(theirs, F_SETFL, O_NONBLOCK)
    try POSIXThread.startDetached("a model connection") { [self] in
      let connection = ModelConnection(self, ours)
      while !isTurn(of: ours) { usleep(200) }
      if state.withLock({ $0.isHung }) { connection.listen() } else { connection.run() }
      state.withLock {
        if $0.served == ours { $0.served = nil }
        $0.serving.remove(ours)
        $0.open.remove(ours)
        close(ours)
      }
    }
    return OwnedDescriptor(theirs)
  }

  /// Takes the turn of that client, where it has come.
  private func isTurn(of socket: Int32) -> Bool {
    guard offer.servesOneAtATime else { return true }
    return state.withLock {
      guard $0.served == nil else { return false }
      $0.served = socket
      return true
    }
  }

  /// Takes no connection any more, and ends all that there are.
  func die() {
    state.withLock {
      $0.isDead = true
      for socket in $0.open { shutdown(socket, Int32(SHUT_RDWR)) }
    }
  }

  /// How often that has happened, with this time.
  func count(_ what: String) -> Int {
    state.withLock {
      $0.counts[what, default: 0] += 1
      return $0.counts[what] ?? 0
    }
  }

  /// Serves nobody any more until it is started again, and goes on taking clients.
  func hang() { state.withLock { $0.isHung = true } }

  /// The process has ended so, which shows by itself only.
  func crash(_ ending: String) { state.withLock { $0.crash = ending } }

  func terminate() -> Bool {
    state.withLock {
      $0.isEnding = true
      if violation?.mistakes.contains(.endsAtOnce) ?? false { for socket in $0.open { shutdown(socket, Int32(SHUT_RDWR)) } }
    }
    return true
  }

  func takeCrash(within milliseconds: Int) -> String? {
    state.withLock { state in
      defer { state.crash = nil }
      return state.crash
    }
  }

  /// As if started again.
  func shutDown() {
    state.withLock {
      $0.isEnding = false
      $0.isHung = false
    }
  }
}
