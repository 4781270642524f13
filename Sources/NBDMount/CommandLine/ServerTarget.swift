import NBDProtocol

/// Where the server is and what to ask it for, from the command line.
struct ServerTarget {
  let address: ServerAddress
  let request: HandshakeRequest

  init(_ location: ServerLocation, exportName: String?) throws(NBDError) {
    var request = HandshakeRequest(exportName: exportName ?? "")
    switch location {
    case .uri(let text):
      let uri = try NBDURI(text)
      if case .required = uri.tls {
        throw .unsupported("\(uri) requires TLS, and TLS is not supported yet")
      }
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
  }
}
