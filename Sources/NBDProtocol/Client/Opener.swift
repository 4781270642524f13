import Glibc

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
    try open(within: Limits.negotiationSeconds)
  }

  /// Connects and negotiates again; a server that was started here and has ended is started anew.
  ///
  /// - Parameter requiresTLS: the connection that is replaced was encrypted, and nothing is said in the clear now.
  package func reopen(requiresTLS: Bool) throws(NBDError) -> NegotiatedConnection {
    try endpoint.restart()
    return try open(
      connecting: Limits.reconnectSeconds, negotiating: Limits.renegotiationSeconds, requiresTLS: requiresTLS)
  }

  /// Refuses, before anything is lost, another way that could never be gone, or that would believe more than the first.
  package func check(asWayBeside first: ServerEndpoint) throws(NBDError) {
    guard let expected = first.tls, expected.policy == .require else { return }
    guard let own = endpoint.tls else {
      throw .insecure("\(endpoint.address) is not encrypted, and the export has to be")
    }
    guard own.verifies || !expected.verifies else {
      throw .insecure("\(endpoint.address) would be believed with any certificate, unlike the first server")
    }
  }

  private func open(within seconds: Int) throws(NBDError) -> NegotiatedConnection {
    try open(connecting: seconds, negotiating: seconds)
  }

  /// - Parameters: in seconds.
  private func open(connecting: Int, negotiating: Int, requiresTLS: Bool = false) throws(NBDError) -> NegotiatedConnection {
    var channel = Channel(try endpoint.connect(deadline: .after(milliseconds: connecting * 1000)))
    let result = try Negotiator.run(
      request, endpoint.tls, requiresTLS: requiresTLS, over: &channel, until: .after(milliseconds: negotiating * 1000))
    guard case .transmission(let export) = result.outcome else {
      throw .invalidArgument("the negotiation was not one for the transmission phase")
    }
    return NegotiatedConnection(channel, export, leftover: result.leftover, notes: result.notes)
  }

  /// Makes up to `wanted` connections, at least one; fewer, with a note, where the server has no more to give. A server may
  /// limit its clients by refusing one, by hanging up on it, or by letting it wait for ever.
  ///
  /// - Throws: what ``open()`` throws for the first, and ``NBDError/disconnected(_:)`` where a later one shows another export
  ///   than the first. Nothing stays open then.
  ///
  /// - Parameter deadline: until when the first connection is tried again and again.
  package func openAll(
    wanted: Int, trying deadline: Deadline = .after(milliseconds: 0)
  ) throws(NBDError) -> OpenedConnections {
    let first = try openFirst(trying: deadline)
    var opened = OpenedConnections(connections: [first], notes: first.notes)
    let count = connectionCount(wanted: wanted, for: first.export)
    while opened.connections.count < count {
      let another: NegotiatedConnection
      do { another = try open(within: Limits.anotherConnectionSeconds) } catch {
        opened.notes.append("\(opened.connections.count) connections instead of \(count), because another failed: \(error)")
        break
      }
      try check(another.export, isLike: first.export)
      opened.connections.append(another)
    }
    return opened
  }

  /// Milliseconds between two attempts.
  private static let pause: UInt32 = 200

  private func openFirst(trying deadline: Deadline) throws(NBDError) -> NegotiatedConnection {
    while true {
      do { return try open() } catch {
        // A server that has said no, or does not speak the protocol, will say so again.
        switch error {
        case .refused, .violation, .invalidArgument, .unsupported, .insecure: throw error
        default: if deadline.hasPassed { throw error }
        }
        try? endpoint.restart(isBeginning: true)
        usleep(Self.pause * 1000)
      }
    }
  }

  private func check(_ export: Export, isLike first: Export) throws(NBDError) {
    guard export.size == first.size else {
      throw .disconnected("another connection to the export shows \(export.size) bytes, expected \(first.size)")
    }
    guard export.flags == first.flags, export.blockSizes == first.blockSizes, export.replies == first.replies,
      export.isEncrypted == first.isEncrypted,
      export.contexts.elementsEqual(first.contexts, by: { $0.isNamed($1.name) })
    else {
      throw .disconnected("another connection to the export was negotiated differently")
    }
  }

  /// How many connections are worth having: what was wanted, but one where the server does not promise that they
  /// see each other's writes (`NBD_FLAG_CAN_MULTI_CONN`), and no more than the endpoint can give.
  private func connectionCount(wanted: Int, for export: Export) -> Int {
    guard export.flags.contains(.canMultiConn) else { return 1 }
    return max(1, min(wanted, endpoint.maximumConnections ?? wanted))
  }
}

/// Connections to one export, alike, and what there is to say about how they came about.
package struct OpenedConnections: Sendable {
  /// At least one.
  package var connections: [NegotiatedConnection]
  /// What the server refused, one printable line for each.
  package var notes: [String]
}
