import Glibc
import NBDProtocol
import Synchronization
import SystemPackage

/// What goes over the socket between the process that serves a mount and the one that has kept root: packets of a few bytes.
///
///     request   number, what to do (``MountAction``, or below)
///     answer    number, how it ended (``ended``), exit status or signal, what was printed
enum MonitorMessage {
  /// Give the request of this number up.
  static let cancel: UInt8 = 0
  static let writePIDFile: UInt8 = 100
  static let removePIDFile: UInt8 = 101
  /// Are you there?
  static let hello: UInt8 = 102

  enum Ended: UInt8 {
    case exited, killed, unfinished
  }

  static let requestSize = 2
  static let answerHeader = 3
  /// Bytes of an answer at most: a helper's output has 4096.
  static let answerSize = answerHeader + 4096

  static func answer(_ number: UInt8, _ result: HelperProcess.Result) -> [UInt8] {
    let (ended, value): (Ended, Int32) =
      switch result.end {
      case .exited(let status): (.exited, status)
      case .killed(let signal): (.killed, signal)
      case nil: (.unfinished, 0)
      }
    let text = result.output.utf8.prefix(answerSize - answerHeader)
    return [number, ended.rawValue, UInt8(truncatingIfNeeded: value)] + text
  }

  /// Nil where that is no answer.
  static func result(of answer: some Collection<UInt8>) -> (number: UInt8, result: HelperProcess.Result)? {
    var rest = Array(answer)[...]
    guard let number = rest.popFirst(), let ended = rest.popFirst().flatMap({ Ended(rawValue: $0) }), let value = rest.popFirst()
    else { return nil }
    let end: ProcessEnd? =
      switch ended {
      case .exited: .exited(Int32(value))
      case .killed: .killed(signal: Int32(value))
      case .unfinished: nil
      }
    return (number, HelperProcess.Result(end: end, output: String(decoding: rest, as: UTF8.self)))
  }
}

/// The process that keeps root when the one that serves the mount gives it up (`--drop-privileges`): a *monitor*, as sshd has one.
///
/// Theory of operation. Who serves the mount talks with the server, and so is who may be taken over by it. What still takes root
/// when the mount is there are the few things that ``MountAction`` lists, done to this one mount, and writing and removing the pid
/// file. The monitor does these and takes no other request; which mount, which file of which size, and which pid file was said
/// when it was started, by root. So whoever takes over the other process can end the mount with it, which they could anyway, and
/// nothing else.
///
///     serving process (the user)                  monitor (root)                   children (root)
///              │ ── number, what ──────────────────────>│ ── nbdmount-sync PATH ID ──────>│
///              │ <── number, how it ended ──────────────│ <── exit status ────────────────│
///              │ ends, however ──── end of the socket ─>│ ends
///
/// Requests are carried out side by side, because one may hang, as writing back does when the server does, and another is to help.
final class PrivilegedMonitor: Sendable {
  private struct State {
    var number: UInt8 = 0
    /// Requests that somebody waits for, with their answers.
    var answers: [UInt8: HelperProcess.Result?] = [:]
    var isGone = false
  }

  /// Between two looks for an answer that another thread may have received.
  private static let look = Duration.milliseconds(50)

  private let state = Mutex(State())
  private let socket: OwnedDescriptor
  private let process: pid_t

  /// Starts it, as what this process is now, and waits until it is there.
  ///
  /// - Parameter pidFile: absolute; nil for none.
  init(of places: MountPlaces, pidFile: String?) throws(NBDError) {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      throw .system(Errno(rawValue: errno), doing: "making the socket of the monitor")
    }
    socket = OwnedDescriptor(ends[0])
    let theirs = OwnedDescriptor(ends[1])
    let words = ["\(places.entry.id)", places.file, "\(places.size)"] + (pidFile.map { [$0] } ?? [])
    process = try Spawn(
      arguments: [Helper.monitor.rawValue] + words, executable: Helper.executable,
      // The pid file may be /dev/stdout.
      streams: .conversation(on: theirs.rawValue)
    ).start()
    let answer = request(MonitorMessage.hello, countdown(Deadlines.monitorStart))
    guard answer.succeeded else { throw .invalidArgument("cannot start the process that keeps root: \(answer.explanation)") }
  }

  deinit {
    _ = shutdown(socket.rawValue, Int32(SHUT_RDWR))
    HelperProcess.leave(process)
  }

  /// Has it done, and waits while there is time left. From any thread.
  func carryOut(_ action: MountAction, remaining: () -> Duration) -> HelperProcess.Result {
    request(action.rawValue, remaining)
  }

  func writePIDFile() throws(NBDError) {
    let result = request(MonitorMessage.writePIDFile, countdown(Deadlines.pidFile))
    guard result.succeeded else { throw .invalidArgument(result.explanation) }
  }

  func removePIDFile() { _ = request(MonitorMessage.removePIDFile, countdown(Deadlines.pidFile)) }

  private func request(_ what: UInt8, _ remaining: () -> Duration) -> HelperProcess.Result {
    guard let number = begin() else { return Self.gone }
    defer { state.withLock { _ = $0.answers.removeValue(forKey: number) } }
    guard send([number, what]) else { return Self.gone }
    while true {
      if let answer = state.withLock({ $0.answers[number] ?? nil }) { return answer }
      let left = remaining()
      guard left > .zero else {
        _ = send([number, MonitorMessage.cancel])
        return HelperProcess.Result(end: nil, output: "")
      }
      guard receive(within: min(left, Self.look)) else { return state.withLock { $0.answers[number] ?? nil } ?? Self.gone }
    }
  }

  private static let gone = HelperProcess.Result(
    end: .exited(Helper.unreachable), output: "the process that kept the right to do it is gone")

  /// A number for a request. Nil where the monitor is gone.
  private func begin() -> UInt8? {
    state.withLock { state in
      if state.isGone || state.answers.count >= MonitorProcess.mostRequests { return nil }
      repeat { state.number &+= 1 } while state.answers.keys.contains(state.number)
      state.answers.updateValue(nil, forKey: state.number)
      return state.number
    }
  }

  private func send(_ message: [UInt8]) -> Bool {
    while true {
      let count = Glibc.send(socket.rawValue, message, message.count, Int32(MSG_NOSIGNAL))
      if count == message.count { return true }
      guard count < 0, errno == EINTR else { break }
    }
    state.withLock { $0.isGone = true }
    return false
  }

  /// Takes an answer, to whichever request, if one comes in time. False where there will be none.
  private func receive(within time: Duration) -> Bool {
    var event = pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)
    guard poll(&event, 1, time.pollTimeout) > 0 else { return true }
    var buffer = [UInt8](repeating: 0, count: MonitorMessage.answerSize)
    let count = recv(socket.rawValue, &buffer, buffer.count, Int32(MSG_DONTWAIT))
    if count < 0, errno == EAGAIN || errno == EINTR { return true }
    guard count > 0 else {
      state.withLock { $0.isGone = true }
      return false
    }
    if let (number, result) = MonitorMessage.result(of: buffer.prefix(count)) {
      state.withLock { if $0.answers.keys.contains(number) { $0.answers.updateValue(result, forKey: number) } }
    }
    return true
  }
}
