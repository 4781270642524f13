import Glibc
import TestSupport

@testable import NBDProtocol

/// What goes wrong with a server.
extension SimulatedServer {
  /// Something goes wrong.
  func fault() {
    guard !isCalm, let kind = plan.kinds.randomElement(using: &world.random) else { return }
    let alive = connections.filter { $0.state == .serving || $0.state == .leaving }
    switch kind {
    case .crash: crash(isSilent: false)
    case .silentCrash: crash(isSilent: true)
    case .cut:
      guard let connection = alive.randomElement(using: &world.random) else { return }
      if world.chance(50) {
        connection.outputLeft = world.number(1...200)
      } else {
        connection.inputLeft = world.number(1...400)
      }
      world.note("fault: cut", [connection.number, connection.outputLeft, connection.inputLeft])
    case .stall:
      if let connection = alive.randomElement(using: &world.random) { stall(connection) }
    case .shutdown: leave(world.chance(50) ? alive : Array(alive.prefix(1)))
    }
  }

  private func crash(isSilent: Bool) {
    crashes += 1
    let losesCache = world.chance(60)
    world.note("fault: crash", [isSilent ? 1 : 0, losesCache ? 1 : 0])
    for connection in connections where connection.state != .closed {
      if isSilent, world.chance(70) {
        carryOutSome(connection)
        connection.state = .silent
      } else {
        close(connection)
      }
    }
    if losesCache {
      for cell in isDirty.indices where isDirty[cell] && world.chance(50) { writeBack(cell) }
      forgetCache()
      hasLost(true)
    }
    stopListening(for: world.chance(50) ? 0...200 : 0...30_000)
  }

  private func stopListening(for milliseconds: ClosedRange<UInt64>) {
    isListening = false
    world.after(world.milliseconds(milliseconds)) { [unowned self] in
      isListening = true
      world.note("listens")
    }
  }

  /// For a while, or until the client has given it up: then what it has got may be carried out as late as is allowed.
  private func stall(_ connection: Connection) {
    let previous = connection.state
    connection.state = .stalled
    let isForGood = plan.answer != nil && world.chance(60)
    world.note("fault: stall", [connection.number, isForGood ? 1 : 0])
    guard isForGood else {
      // No longer than the client may take it to be able to act.
      let longest = plan.answer == nil ? 5000 : min(5000, plan.quiesce / 1_000_000)
      return world.after(world.milliseconds(1...longest)) { [unowned self] in
        guard connection.state == .stalled else { return }
        connection.state = previous
        world.note("goes on", [connection.number])
        for (number, _) in connection.pending { carryOut(number, connection) }
      }
    }
    // Whoever sends something later has given up later, and so waits longer.
    world.after(UInt64.random(in: 0..<plan.quiesce, using: &world.random)) { [unowned self] in
      guard connection.state == .stalled else { return }
      world.note("carries out late", [connection.number])
      takeWhatIsThere(connection)
      for (_, request) in connection.pending.shuffled(using: &world.random) where world.chance(80) { _ = execute(request) }
      connection.pending = []
      if world.chance(50) { close(connection) } else { connection.state = .silent }
    }
  }

  private func takeWhatIsThere(_ connection: Connection) {
    guard let socket = connection.socket?.rawValue else { return }
    withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 16) { place in
      while true {
        let count = recv(socket, place.baseAddress, place.count, Int32(MSG_DONTWAIT))
        guard count > 0 else { break }
        connection.reader.append(place.prefix(count))
      }
    }
    while let request = connection.reader.next() {
      guard request.command != SeenRequest.disconnect, ModelServer.check(request, export) else { continue }
      requests += 1
      connection.pending.append((requests, request))
    }
  }

  private func leave(_ leaving: [Connection]) {
    world.note("fault: shutdown", leaving.map(\.number))
    for connection in leaving { connection.state = .leaving }
    let losesCache = world.chance(30)
    let isWhole = leaving.count == connections.count(where: { $0.state == .leaving || $0.state == .serving })
    world.after(world.milliseconds(0...3000)) { [unowned self] in
      for connection in leaving where connection.state == .leaving { close(connection) }
      guard isWhole, connections.allSatisfy({ $0.state == .closed || $0.state == .silent }) else { return }
      if losesCache {
        forgetCache()
        hasLost(true)
      }
      stopListening(for: 0...2000)
    }
  }
}
