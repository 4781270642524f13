import Glibc
import TestSupport

@testable import NBDProtocol

/// A server with a volatile cache over a durable disk, that does what servers do, in any order, and what happens to them.
///
/// It is modelled, down to the bytes on a socket: requests are taken apart and replies put together by the tests' own code.
final class SimulatedServer {
  /// The server's end of a connection.
  final class Connection {
    enum State {
      case serving
      /// It refuses what is new with `NBD_ESHUTDOWN`.
      case leaving
      /// It takes and says nothing, but may carry out later what it has got.
      case stalled
      /// Nothing happens any more, and nobody says so.
      case silent
      case closed
    }
    let number: Int
    var state = State.serving
    var socket: OwnedDescriptor?
    var reader = RequestReader()
    /// What was received and not carried out, by number.
    var pending: [(number: Int, request: SeenRequest)] = []
    /// Replies that have not left.
    var output: [UInt8] = []
    /// Bytes until it is cut, of what comes and of what goes.
    var inputLeft = Int.max
    var outputLeft = Int.max

    init(_ number: Int, _ socket: consuming OwnedDescriptor) {
      self.number = number
      self.socket = consume socket
    }
  }

  let world: SimulatedWorld
  let plan: SimulationPlan
  let export: Export
  private(set) var contents: [UInt8]
  private(set) var durable: [UInt8]
  var isDirty = [Bool](repeating: false, count: SimulationPlan.cells)
  private(set) var connections: [Connection] = []
  var isListening = true
  /// Nothing goes wrong any more.
  var isCalm = false
  /// Called when answered writes may be gone, though there may be a log.
  var hasLost: (_ inCrash: Bool) -> Void = { _ in }
  var requests = 0
  /// As of the last look at what has come.
  private var seen: UInt64 = 0
  var crashes = 0

  init(_ world: SimulatedWorld, _ plan: SimulationPlan) {
    self.world = world
    self.plan = plan
    export = plan.export
    contents = (0..<SimulationPlan.cells).flatMap { _ in SimulatedHistory.contents(of: SimulatedHistory.initial) }
    durable = contents
  }

  // MARK: Connections

  /// Accepts a connection. Returns the client's end.
  func accept() -> OwnedDescriptor {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    precondition(socketpair(AF_UNIX, kind, 0, &ends) == 0, "no socket pair: \(errno)")
    if plan.hasSmallBuffers {
      var size: Int32 = 1
      for end in ends { setsockopt(end, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size)) }
    }
    connections.append(Connection(connections.count, OwnedDescriptor(ends[0])))
    world.note("accept", [connections.count - 1])
    return OwnedDescriptor(ends[1])
  }

  /// Takes and sends what can be. Returns whether there was anything.
  func step() -> Bool {
    var worked = false
    let hasNews = world.changes != seen
    seen = world.changes
    for connection in connections where connection.state == .serving || connection.state == .leaving {
      if hasNews, receive(connection) { worked = true }
      if send(connection) { worked = true }
    }
    if worked { world.changed() }
    return worked
  }

  private func receive(_ connection: Connection) -> Bool {
    guard let socket = connection.socket?.rawValue else { return false }
    let count = withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 16) { place in
      let count = recv(socket, place.baseAddress, min(place.count, connection.inputLeft), Int32(MSG_DONTWAIT))
      if count > 0 { connection.reader.append(place.prefix(count)) }
      return count
    }
    if count < 0, errno == EAGAIN { return false }
    guard count > 0 else {
      close(connection)
      return true
    }
    connection.inputLeft -= count
    while let request = connection.reader.next() { take(request, connection) }
    if connection.reader.isBroken { world.fail("the client has sent what is no request") }
    if connection.inputLeft == 0 { close(connection) }
    return true
  }

  private func take(_ request: SeenRequest, _ connection: Connection) {
    requests += 1
    let number = requests
    world.note("request", [connection.number, number], "\(request)")
    if request.command == SeenRequest.disconnect { return close(connection) }
    if connection.state == .leaving {
      return answer(export.replies.failure(request, 108), connection)
    }
    guard ModelServer.check(request, export) else { return }
    connection.pending.append((number, request))
    let isSlow = !isCalm && world.chance(5)
    world.after(world.milliseconds(0...(isSlow ? 800 : plan.latency))) { [unowned self] in
      if connection.state == .serving || connection.state == .leaving { carryOut(number, connection) }
    }
  }

  func carryOut(_ number: Int, _ connection: Connection) {
    guard let index = connection.pending.firstIndex(where: { $0.number == number }) else { return }
    let request = connection.pending.remove(at: index).request
    let reply = execute(request)
    world.after(world.milliseconds(0...plan.latency)) { [unowned self] in answer(reply, connection) }
  }

  private func answer(_ reply: [UInt8], _ connection: Connection) {
    guard connection.state != .closed else { return }
    connection.output += reply
  }

  private func send(_ connection: Connection) -> Bool {
    guard let socket = connection.socket?.rawValue, !connection.output.isEmpty else { return false }
    var most = min(connection.output.count, connection.outputLeft)
    if world.chance(10) { most = world.number(1...most) }
    let count = connection.output.withUnsafeBytes { bytes in
      Glibc.send(socket, bytes.baseAddress, most, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
    }
    if count < 0, errno == EAGAIN { return false }
    guard count > 0 else {
      close(connection)
      return true
    }
    connection.output.removeFirst(count)
    connection.outputLeft -= count
    if connection.outputLeft == 0 { close(connection) }
    return true
  }

  /// Ends it. What was not carried out is carried out before that, or never.
  func close(_ connection: Connection) {
    guard connection.state != .closed else { return }
    carryOutSome(connection)
    connection.state = .closed
    // A child that some other test has just forked has the socket too, until it executes its program: the end is not to wait for that.
    if let socket = connection.socket?.rawValue { shutdown(socket, Int32(SHUT_RDWR)) }
    connection.socket = nil
    world.note("close", [connection.number])
  }

  func carryOutSome(_ connection: Connection) {
    for (_, request) in connection.pending.shuffled(using: &world.random) where world.chance(50) { _ = execute(request) }
    connection.pending = []
  }

  // MARK: The disk

  /// Carries `request` out. Returns the reply.
  func execute(_ request: SeenRequest) -> [UInt8] {
    let range = Int(request.offset)..<Int(request.end)
    let isWrite = request.command == SeenRequest.write || request.command == SeenRequest.writeZeroes
    if isWrite, !isCalm, world.chance(plan.writeFailures) { return export.replies.failure(request, 28) }
    switch request.command {
    case SeenRequest.read: return export.replies.success(request, Array(contents[range]))
    case SeenRequest.write: contents.replaceSubrange(range, with: request.payload)
    case SeenRequest.writeZeroes: contents.replaceSubrange(range, with: zeros(range.count))
    case SeenRequest.flush: return flush(request)
    default: break
    }
    world.note("execute", [range.lowerBound / SimulationPlan.cellSize], "\(request)")
    for cell in range.lowerBound / SimulationPlan.cellSize..<range.upperBound / SimulationPlan.cellSize {
      isDirty[cell] = true
      if request.flags & SeenRequest.fua != 0 || world.chance(10) { writeBack(cell) }
    }
    return export.replies.success(request)
  }

  func writeBack(_ cell: Int) {
    let range = (cell * SimulationPlan.cellSize)..<((cell + 1) * SimulationPlan.cellSize)
    durable.replaceSubrange(range, with: contents[range])
    isDirty[cell] = false
  }

  private func flush(_ request: SeenRequest) -> [UInt8] {
    guard !isCalm, world.chance(plan.flushFailures) else {
      world.note("flush", [], "\(request)")
      for cell in isDirty.indices where isDirty[cell] { writeBack(cell) }
      return export.replies.success(request)
    }
    // What was dirty stays so, or is taken for clean, or is gone.
    let how = world.number(0...2)
    world.note("flush fails", [how], "\(request)")
    if how == 1 { isDirty = isDirty.map { _ in false } }
    if how == 2 { forgetCache() }
    hasLost(false)
    return export.replies.failure(request, 5)
  }

  func forgetCache() {
    contents = durable
    isDirty = isDirty.map { _ in false }
  }

  /// The power goes, or somebody looks at the disk.
  func losePower() {
    for connection in connections { close(connection) }
    forgetCache()
  }
}
