import NBDProtocol

/// Where the server is and what to ask it for, from the command line.
struct ServerTarget {
  let address: ServerAddress
  let request: HandshakeRequest
  /// Nil where nothing is encrypted.
  let tls: TLSConfiguration?

  init(_ location: ServerLocation, exportName: String?, _ options: TLSOptions = TLSOptions()) throws(NBDError) {
    var tls = options.configuration
    var request = HandshakeRequest(exportName: exportName ?? "")
    switch location {
    case .uri(let text):
      let uri = try NBDURI(text)
      tls = try uri.tlsConfiguration(tls, usesFiles: options.usesFilesOfURI)
      address = uri.address
      request.exportName = uri.exportName
    case .tcp(let host, let port): address = .tcp(host: host, port: port)
    case .unix(let path): address = .unix(path: Array(path.utf8))
    case .vsock(let cid, let port): address = .vsock(cid: cid, port: port)
    case .fd(let number): address = .descriptor(number)
    case .command(let words): address = .command(words)
    case .socketActivation(let words): address = .socketActivation(words)
    }
    self.request = request
    self.tls = tls
  }

  /// The server, started where it is one to start.
  ///
  /// - Parameter identity: whose process it is then; nil for our own user's.
  func endpoint(servedBy identity: ProcessIdentity? = nil) throws(NBDError) -> ServerEndpoint {
    try ServerEndpoint(address, tls: tls, servedBy: identity)
  }
}
