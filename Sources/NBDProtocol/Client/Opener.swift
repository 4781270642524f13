import Synchronization

/// Makes connections to one server, negotiated alike.
///
/// What the first negotiation settled is the yardstick for the others: a connection whose export has another size or
/// another set of features must not carry the same file's requests.
package final class Opener: Sendable {
  package let endpoint: ServerEndpoint
  package let request: HandshakeRequest

  package init(_ endpoint: ServerEndpoint, _ request: HandshakeRequest) {
    self.endpoint = endpoint
    self.request = request
  }

  /// Connects and negotiates, within ``Limits/negotiationSeconds`` each. Blocks.
  package func open() throws(NBDError) -> NegotiatedConnection {
    let socket = try endpoint.connect(deadline: Self.deadline())
    let result = try Negotiator.run(request, on: socket, until: Self.deadline())
    guard case .transmission(let export) = result.outcome else {
      throw .invalidArgument("the negotiation was not one for the transmission phase")
    }
    return NegotiatedConnection(socket, export, leftover: result.leftover, notes: result.notes)
  }

  /// Makes up to `wanted` connections, at least one.
  ///
  /// - Throws: what ``open()`` throws, and ``NBDError/disconnected(_:)`` where a later connection shows another export
  ///   than the first. Nothing stays open then.
  package func openAll(wanted: Int) throws(NBDError) -> [NegotiatedConnection] {
    var connections = [try open()]
    let export = connections[0].export
    while connections.count < connectionCount(wanted: wanted, for: export) {
      connections.append(try open(like: export))
    }
    return connections
  }

  private func open(like first: Export) throws(NBDError) -> NegotiatedConnection {
    let connection = try open()
    let export = connection.export
    guard export.size == first.size else {
      throw .disconnected("another connection to the export shows \(export.size) bytes, expected \(first.size)")
    }
    guard export.flags == first.flags, export.blockSizes == first.blockSizes, export.replies == first.replies,
      export.contexts.map(\.name) == first.contexts.map(\.name)
    else {
      throw .disconnected("another connection to the export was negotiated differently")
    }
    return connection
  }

  /// How many connections are worth having: what was wanted, but one where the server does not promise that they
  /// see each other's writes (`NBD_FLAG_CAN_MULTI_CONN`), and no more than the endpoint can give.
  private func connectionCount(wanted: Int, for export: Export) -> Int {
    guard export.flags.contains(.canMultiConn) else { return 1 }
    return max(1, min(wanted, endpoint.maximumConnections ?? wanted))
  }

  private static func deadline() -> Deadline { .after(milliseconds: Limits.negotiationSeconds * 1000) }
}

/// A connection that has entered the transmission phase, until a reactor takes it.
package final class NegotiatedConnection: Sendable {
  package let export: Export
  /// What the server refused, one printable line for each.
  package let notes: [String]
  /// Bytes of the transmission phase that came with the last reply of the negotiation.
  let leftover: [UInt8]
  private let socket: Mutex<OwnedDescriptor?>

  init(_ socket: consuming OwnedDescriptor, _ export: Export, leftover: [UInt8], notes: [String]) {
    self.export = export
    self.leftover = leftover
    self.notes = notes
    self.socket = Mutex(socket)
  }

  /// The socket, for the one that drives it from here on; nil the second time.
  func takeSocket() -> OwnedDescriptor? {
    socket.withLock { socket in
      let taken = socket.take()
      return taken
    }
  }
}
