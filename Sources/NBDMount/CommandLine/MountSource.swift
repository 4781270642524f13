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

  private static func withoutSecrets(_ uri: String) -> String {
    let noFragment = uri.prefix { $0 != "#" }
    var base = String(noFragment.prefix { $0 != "?" })
    if let slashes = base.firstRange(of: "//") {
      let authority = base[slashes.upperBound...].prefix { $0 != "/" }
      if let at = authority.lastIndex(of: "@") { base.removeSubrange(slashes.upperBound...at) }
    }
    let socket = noFragment.dropFirst(noFragment.prefix { $0 != "?" }.count + 1)
      .split(separator: "&").first { $0.hasPrefix("socket=") }
    return socket.map { "\(base)?\($0)" } ?? base
  }
}

/// RFC 3986 percent-encoding of everything but unreserved characters and the slash.
private func percentEncoded(_ text: String) -> String {
  var result = ""
  for byte in text.utf8 {
    switch UInt8(byte) {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
      UInt8(ascii: "~"), UInt8(ascii: "/"):
      result.unicodeScalars.append(Unicode.Scalar(byte))
    default:
      let digits = String(byte, radix: 16, uppercase: true)
      result += byte < 16 ? "%0\(digits)" : "%\(digits)"
    }
  }
  return result
}
