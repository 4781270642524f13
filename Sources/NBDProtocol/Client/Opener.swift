/// Makes connections to one server, negotiated alike.
///
/// What the first negotiation settled is the yardstick for the others: a connection whose export has another size or
/// another set of features must not carry the same file's requests.
package final class Opener: Sendable {
  /// A connection that has entered the transmission phase.
  package struct Connection: ~Copyable, Sendable {
    package var socket: OwnedDescriptor
    package var export: Export
    package var leftover: [UInt8]
    package var notes: [String]
  }

  package let endpoint: ServerEndpoint
  package let request: HandshakeRequest

  package init(_ endpoint: ServerEndpoint, _ request: HandshakeRequest) {
    self.endpoint = endpoint
    self.request = request
  }

  /// Connects and negotiates, within ``Limits/negotiationSeconds`` each. Blocks.
  package func open() throws(NBDError) -> Connection {
    let socket = try endpoint.connect(deadline: Self.deadline())
    let result = try Negotiator.run(request, on: socket, until: Self.deadline())
    guard case .transmission(let export) = result.outcome else {
      throw .invalidArgument("the negotiation was not one for the transmission phase")
    }
    return Connection(socket: socket, export: export, leftover: result.leftover, notes: result.notes)
  }

  /// Another connection to an export that is open already.
  ///
  /// - Throws: what ``open()`` throws, and ``NBDError/disconnected(_:)`` where the export is not the same.
  package func open(like first: Export) throws(NBDError) -> Connection {
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
  package func connectionCount(wanted: Int, for export: Export) -> Int {
    guard export.flags.contains(.canMultiConn) else { return 1 }
    return max(1, min(wanted, endpoint.maximumConnections ?? wanted))
  }

  private static func deadline() -> Deadline { .after(milliseconds: Limits.negotiationSeconds * 1000) }
}
