import CLinux
import Glibc

extension NBDURI {
  /// Reads a URI. Throws ``NBDError/invalidArgument(_:)`` that names the part which is wrong.
  ///
  /// The text itself is not repeated in errors: what is wrong with it may be a password.
  public init(_ text: String) throws(NBDError) {
    guard text.utf8.count <= Self.longest else { throw wrong("longer than \(Self.longest) bytes") }
    let pieces = try Pieces(Array(text.utf8))
    var parameters = try Parameters(pieces.query)
    let authority = try Authority(pieces.authority)

    switch pieces.transport {
    case .tcp:
      address = .tcp(host: authority.host ?? "localhost", port: try authority.tcpPort())
    case .vsock:
      address = try authority.vsockAddress()
    case .unix:
      guard authority.host == nil, authority.port.isEmpty else {
        throw wrong("a Unix socket has no host or port; write \(pieces.scheme):///NAME?socket=PATH")
      }
      guard let path = parameters.take("socket") else {
        throw wrong("the parameter socket is missing; write \(pieces.scheme):///NAME?socket=PATH")
      }
      // Checked here and not only when connecting: it is this text that must be corrected.
      _ = try SocketAddress(unixPath: path)
      address = .unix(path: path)
    }
    if pieces.isTLS {
      tls = .required(try TLSParameters(&parameters, username: authority.username))
    } else if authority.username != nil {
      throw wrong("a user name needs TLS (\(pieces.scheme.replacingPrefix("nbd", with: "nbds")))")
    } else {
      tls = .none
    }
    if let name = parameters.firstLeft {
      let reason =
        name.hasPrefix("tls-") ? "needs TLS (\(pieces.scheme.replacingPrefix("nbd", with: "nbds")))"
        : name == "socket" ? "needs the scheme \(pieces.scheme.prefix { $0 != "+" })+unix" : "is unknown"
      throw wrong("the parameter \(printable(name)) \(reason)")
    }
    // Exactly one slash is the separator; the rest is free text, which may itself begin with one.
    exportName = try percentDecodedText(pieces.path.dropFirst(), allowing: .path, part: "export name")
    guard exportName.utf8.count <= Limits.string else {
      throw wrong("the export name is longer than \(Limits.string) bytes")
    }
  }
}

private func wrong(_ reason: String) -> NBDError { .invalidArgument("NBD URI: " + reason) }

/// The parts of `scheme://authority/path?query`, still encoded.
private struct Pieces {
  enum Transport { case tcp, unix, vsock }

  /// In lower case, and known.
  let scheme: String
  let transport: Transport
  let isTLS: Bool
  let authority: ArraySlice<UInt8>
  /// Empty, or beginning with a slash.
  let path: ArraySlice<UInt8>
  let query: ArraySlice<UInt8>

  init(_ text: [UInt8]) throws(NBDError) {
    guard !text.contains(UInt8(ascii: "#")) else {
      throw wrong("a fragment (#) means nothing here; write %23 where the # belongs to a name")
    }
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else {
      throw wrong("no scheme; write nbd://HOST/NAME or nbd+unix:///NAME?socket=PATH")
    }
    scheme = String(decoding: text[..<colon], as: UTF8.self).lowercased()
    switch scheme {
    case "nbd", "nbds": transport = .tcp
    case "nbd+unix", "nbds+unix": transport = .unix
    case "nbd+vsock", "nbds+vsock": transport = .vsock
    default:
      throw wrong("unknown scheme \(printable(scheme)); known are nbd, nbd+unix, nbd+vsock, nbds, nbds+unix, nbds+vsock")
    }
    isTLS = scheme.hasPrefix("nbds")
    let rest = text[(colon + 1)...]
    guard rest.starts(with: "//".utf8) else { throw wrong("// is missing after \(scheme):") }
    let hierarchy = rest.dropFirst(2).prefix { $0 != UInt8(ascii: "?") }
    query = rest.dropFirst(2 + hierarchy.count + 1)
    authority = hierarchy.prefix { $0 != UInt8(ascii: "/") }
    path = hierarchy[authority.endIndex...]
  }
}

/// `[user@][host][:port]` (*NBD URI authority*).
private struct Authority {
  var username: String?
  /// Decoded, without brackets; `nil` where there is none.
  var host: String?
  /// Digits, or empty.
  var port: ArraySlice<UInt8>

  init(_ text: ArraySlice<UInt8>) throws(NBDError) {
    var rest = text
    if let at = rest.firstIndex(of: UInt8(ascii: "@")) {
      let user = rest[..<at]
      guard !user.contains(UInt8(ascii: ":")) else { throw wrong("a password in the user name; NBD has none") }
      let username = try percentDecodedText(user, allowing: .registeredName, part: "user name")
      guard !username.isEmpty else { throw wrong("the user name before @ is empty") }
      self.username = username
      rest = rest[(at + 1)...]
    }
    if rest.first == UInt8(ascii: "[") {
      guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else { throw wrong("] is missing after the IPv6 address") }
      host = try Self.literal(rest[(rest.startIndex + 1)..<end])
      rest = rest[(end + 1)...]
    } else {
      let name = rest.prefix { $0 != UInt8(ascii: ":") }
      let decoded = try percentDecodedText(name, allowing: .registeredName, part: "host")
      // Where it came as %3A: no name has one, and what has is an address that would be written in brackets.
      guard !decoded.contains(":") else { throw wrong("an IPv6 address must be in brackets") }
      host = decoded.isEmpty ? nil : decoded
      rest = rest[name.endIndex...]
    }
    guard let colon = rest.popFirst() else {
      port = rest
      return
    }
    guard colon == UInt8(ascii: ":") else { throw wrong("only a port may follow the ] of an IPv6 address") }
    guard !rest.contains(UInt8(ascii: ":")) else { throw wrong("an IPv6 address must be in brackets") }
    guard rest.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      throw wrong("the port is not a number")
    }
    port = rest
  }

  /// IPv6, with an optional zone after `%25` (RFC 6874).
  private static func literal(_ text: ArraySlice<UInt8>) throws(NBDError) -> String {
    let address = try percentDecodedText(text, allowing: .literalAddress, part: "IPv6 address")
    let withoutZone = String(address.prefix { $0 != "%" })
    var binary = in6_addr()
    guard inet_pton(AF_INET6, withoutZone, &binary) == 1, !address.hasSuffix("%") else {
      throw wrong("the text in brackets is not an IPv6 address")
    }
    return address
  }

  /// Bad where `port` is longer than any number that fits, too: then there is no such `Number`.
  private func number<Number: FixedWidthInteger>(
    _ text: some Sequence<UInt8>, in range: ClosedRange<Number>, part: String
  ) throws(NBDError) -> Number {
    guard let number = Number(String(decoding: Array(text), as: UTF8.self)), range.contains(number) else {
      throw wrong("the \(part) is not between \(range.lowerBound) and \(range.upperBound)")
    }
    return number
  }

  func tcpPort() throws(NBDError) -> UInt16 {
    port.isEmpty ? ServerAddress.defaultPort : try number(port, in: 1...UInt16.max, part: "port")
  }

  /// The greatest number of each stands for "any" (`VMADDR_CID_ANY`, `VMADDR_PORT_ANY`) and is nobody's address.
  func vsockAddress() throws(NBDError) -> ServerAddress {
    let largest = UInt32.max - 1
    let cid = try host.map { (host) throws(NBDError) in try number(host.utf8, in: 0...largest, part: "CID of a vsock") }
    let port: UInt32 =
      port.isEmpty ? UInt32(ServerAddress.defaultPort) : try number(port, in: 0...largest, part: "port")
    return .vsock(cid: cid ?? UInt32(VMADDR_CID_HOST), port: port)
  }
}

/// `name=value&name=value`, decoded. Each is taken by whoever understands it; what is left over is unknown.
private struct Parameters {
  private var entries: [(name: String, value: [UInt8])] = []

  init(_ query: ArraySlice<UInt8>) throws(NBDError) {
    for entry in query.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: true) {
      let encodedName = entry.prefix { $0 != UInt8(ascii: "=") }
      let name = try percentDecodedText(encodedName, allowing: .query, part: "name of a parameter")
      guard !entries.contains(where: { $0.name == name }) else {
        throw wrong("the parameter \(printable(name)) is there twice")
      }
      let value = entry.dropFirst(encodedName.count + 1)
      entries.append((name, try percentDecoded(value, allowing: .query, part: "parameter \(printable(name))")))
      guard entries.count <= Self.most else { throw wrong("more than \(Self.most) parameters") }
    }
  }

  /// More than are known, so that an unknown one is what gets reported.
  private static let most = 32

  var firstLeft: String? { entries.first?.name }

  mutating func take(_ name: String) -> [UInt8]? {
    entries.firstIndex { $0.name == name }.map { entries.remove(at: $0).value }
  }

  /// Text that is not empty.
  mutating func takeText(_ name: String) throws(NBDError) -> String? {
    guard let value = take(name) else { return nil }
    guard !value.isEmpty, !value.contains(0), let text = String(validating: value, as: UTF8.self) else {
      throw wrong("the parameter \(name) is empty, or not text")
    }
    return text
  }
}

extension NBDURI.TLSParameters {
  fileprivate init(_ parameters: inout Parameters, username: String?) throws(NBDError) {
    self.username = username
    hostname = try parameters.takeText("tls-hostname")
    certificates = try parameters.takeText("tls-certificates")
    preSharedKeyFile = try parameters.takeText("tls-psk-file")
    if let type = try parameters.takeText("tls-type") {
      guard let known = Authentication(rawValue: type) else { throw wrong("tls-type is not anon, x509 or psk") }
      authentication = known
    }
    switch try parameters.takeText("tls-verify-peer") {
    case nil, "1": break
    case "0": verifiesPeer = false
    default: throw wrong("tls-verify-peer is not 0 or 1")
    }
  }
}

extension String {
  fileprivate func replacingPrefix(_ prefix: String, with other: String) -> String {
    hasPrefix(prefix) ? other + dropFirst(prefix.count) : self
  }
}
