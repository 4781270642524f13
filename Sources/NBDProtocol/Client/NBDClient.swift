/// A client of one NBD export.
///
/// ```swift
/// let client = try NBDClient(uri: "nbd://127.0.0.1/disk")
/// let sector = try client.read(at: 0, count: 512)
/// try client.write(sector, at: 512)
/// try client.flush()
/// client.close()
/// ```
///
/// Every request has a blocking and an `async` form; both take the same way through a connection's reactor, and any
/// number of threads and tasks may use one client at one time. Do not call the blocking forms from async code: they park
/// the thread.
///
/// Requests of any size are split, and unaligned ones are widened or done as read-modify-write, as the server's block sizes
/// want it. A feature that the server did not advertise is never used: ``NBDError/unsupported(_:)``.
///
/// Durable means flushed: a write that has returned may still be lost with the server, until ``flush()`` returns or unless
/// it was made with `fua`.
public final class NBDClient: Sendable {
  /// What to ask of the server.
  public struct Configuration: Sendable {
    /// Connections to make where the server allows several (`NBD_FLAG_CAN_MULTI_CONN`).
    public var connections: Int
    /// What to negotiate; its goal is always the transmission phase.
    public var request: HandshakeRequest
    /// How long requests wait for another connection when all are lost; nil for ever. Zero, the default: they fail at once, and
    /// what one of several connections could not finish is carried out by another.
    public var reconnectTimeout: Duration? = .zero
    /// How connections are encrypted, for the URI and for those of ``failover``: it goes before what they say. Nil: as they say,
    /// but without the files that they name. An endpoint has its own.
    public var tls: TLSConfiguration?
    /// URIs of the same export, tried in turn when all connections are lost.
    public var failover: [String] = []
    /// Bytes of written data that are kept until a flush has made them durable, to be sent again to a server that comes back
    /// without them; 0 for none. Only where requests wait for another connection.
    public var writeLog = 64 << 20
    /// How long a server that was given up, and has not closed its connection, is taken to be able to write yet.
    public var quiesce = Duration.seconds(60)

    public init(connections: Int = 1, request: HandshakeRequest = HandshakeRequest()) {
      self.connections = connections
      self.request = request
    }
  }

  /// What was negotiated.
  public let export: Export
  /// What the server refused during the negotiation, one printable line for each.
  public let notes: [String]
  package let connections: ConnectionSet
  private let endpoint: ServerEndpoint

  /// Connects to the export that `uri` names. Blocks.
  ///
  /// - Throws: ``NBDError/invalidArgument(_:)`` for a URI that is none; what connecting and negotiating throw.
  public convenience init(uri: String, configuration: Configuration = Configuration()) throws(NBDError) {
    let uri = try NBDURI(uri)
    var configuration = configuration
    configuration.request.exportName = uri.exportName
    try self.init(ServerEndpoint(uri, tls: configuration.tls), configuration)
  }

  /// Connects to the export named in the configuration's request. Blocks.
  public init(_ endpoint: ServerEndpoint, _ configuration: Configuration = Configuration()) throws(NBDError) {
    var request = configuration.request
    request.goal = .transmission
    self.endpoint = endpoint
    let opened = try Opener(endpoint, request).openAll(wanted: configuration.connections)
    export = opened.connections[0].export
    notes = opened.notes
    var reconnecting = ConnectionSet.Reconnecting()
    reconnecting.window = configuration.reconnectTimeout.map(\.wholeNanoseconds)
    if reconnecting.window != 0 {
      reconnecting.ways = endpoint.canReconnect ? [Opener(endpoint, request)] : []
      for text in configuration.failover {
        let uri = try NBDURI(text)
        var other = request
        other.exportName = uri.exportName
        let way = Opener(try ServerEndpoint(uri, tls: configuration.tls), other)
        try way.check(asWayBeside: endpoint)
        reconnecting.ways.append(way)
      }
    }
    try reconnecting.keepLog(of: configuration.writeLog, for: export)
    var timing = Reactor.Timing()
    timing.quiesce = configuration.quiesce.wholeNanoseconds
    connections = try ConnectionSet(opened.connections, timing, reconnecting)
  }

  /// A client that is dropped disconnects as with ``close()``, but nobody waits for that.
  deinit { connections.requestStop() }

  /// Waits for what is in flight, disconnects, and ends a server that was started for this client. Blocks. No request may
  /// be made afterwards; nothing is flushed.
  public func close() {
    connections.stop()
    endpoint.shutdown()
  }

  /// Why the client is of no use any more; nil while it works.
  public var failure: NBDError? { connections.isAlive ? nil : connections.failure }
}

extension Duration {
  /// Nanoseconds; negative is none, and a century the most, so that a time of the clock can be added.
  var wholeNanoseconds: UInt64 {
    let bounded = min(max(self, .zero), .seconds(100 * 365 * 24 * 3600))
    let (seconds, attoseconds) = bounded.components
    return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }
}
