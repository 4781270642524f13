import NBDProtocol

extension ServerLocation {
  /// What the mount table shows as the source: which server and which export, and nothing secret.
  ///
  /// Anyone on the machine can read the mount table, so user names, passwords and every URI parameter but
  /// the socket's path are left out, and so are a subprocess's arguments.
  func mountSource(exportName: String?) -> String {
    let export = exportName.map(percentEncoded) ?? ""
    switch self {
    case .uri(let text): return Self.withoutSecrets(text)
    case .tcp(let host, let port):
      let literal = host.contains(":") ? "[\(host)]" : host
      return "nbd://\(literal)" + (port == 10809 ? "" : ":\(port)") + "/\(export)"
    case .unix(let path): return "nbd+unix:///\(export)?socket=\(percentEncoded(path))"
    case .vsock(let cid, let port): return "nbd+vsock://\(cid):\(port)/\(export)"
    case .fd(let number): return "nbd:fd=\(number)" + (export.isEmpty ? "" : "/\(export)")
    case .command(let words), .socketActivation(let words):
      let name = words.first?.split(separator: "/").last.map(String.init) ?? ""
      return "nbd:command=\(percentEncoded(name))" + (export.isEmpty ? "" : "/\(export)")
    }
  }

  /// In bytes: to Swift's characters, an `@` with an accent upon it is no `@`, and would leave a password where all see it.
  private static func withoutSecrets(_ uri: String) -> String {
    let bytes = Array(uri.utf8.prefix { $0 != UInt8(ascii: "#") })
    var base = Array(bytes.prefix { $0 != UInt8(ascii: "?") })
    if let slashes = base.firstRange(of: Array("//".utf8)) {
      let authority = base[slashes.upperBound...].prefix { $0 != UInt8(ascii: "/") }
      if let at = authority.lastIndex(of: UInt8(ascii: "@")) { base.removeSubrange(slashes.upperBound...at) }
    }
    let parameters = bytes.dropFirst(bytes.prefix { $0 != UInt8(ascii: "?") }.count + 1)
    let socket = parameters.split(separator: UInt8(ascii: "&")).first { $0.starts(with: "socket=".utf8) }
    return String(decoding: base + (socket.map { Array("?".utf8) + $0 } ?? []), as: UTF8.self)
  }
}

private func percentEncoded(_ text: String) -> String { percentEncoded(text.utf8, except: .slash) }
