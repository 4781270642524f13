import Glibc

/// Where the NBD server is: the MODE words of the command line, typed.
enum ServerLocation: Hashable, Sendable {
  /// An NBD URI, exactly as given; parsing it is the transport's work.
  case uri(String)
  case tcp(host: String, port: UInt16)
  /// A Unix socket's path, not resolved.
  case unix(path: String)
  case vsock(cid: UInt32, port: UInt32)
  /// A connected socket that we inherited.
  case fd(Int32)
  /// A program that speaks NBD on its standard input and output. Never empty.
  case command([String])
  /// A program that takes a listening socket as systemd would pass it. Never empty.
  case socketActivation([String])

  /// Reads the words after MOUNTPOINT.
  init(mode words: [String]) throws(UsageError) {
    guard let mode = words.first else {
      throw UsageError("missing the server after MOUNTPOINT: a URI, [ CMD ... ], --tcp HOST PORT, ...")
    }
    let rest = Array(words.dropFirst())
    switch mode {
    case "[":
      guard rest.last == "]" else { throw UsageError("missing ] after [ CMD ARGS ...") }
      self = .socketActivation(try Self.program(Array(rest.dropLast()), mode: "[ ]"))
    case "--socket-activation", "--systemd-socket-activation":
      self = .socketActivation(try Self.program(rest, mode: mode))
    case "--command":
      self = .command(try Self.program(rest, mode: mode))
    case "--fd":
      let values = try Self.values(rest, mode: mode, names: ["N"])
      self = .fd(try Self.number(values[0], 0...Int32.max, what: "file descriptor"))
    case "--tcp":
      let values = try Self.values(rest, mode: mode, names: ["HOST", "PORT"])
      guard !values[0].isEmpty else { throw UsageError("--tcp needs a host name or an address") }
      self = .tcp(host: values[0], port: try Self.tcpPort(values[1]))
    case "--unix":
      let values = try Self.values(rest, mode: mode, names: ["SOCKET"])
      guard !values[0].isEmpty else { throw UsageError("--unix needs the path of a socket") }
      self = .unix(path: values[0])
    case "--vsock":
      let values = try Self.values(rest, mode: mode, names: ["CID", "PORT"])
      self = .vsock(
        cid: try Self.number(values[0], 0...UInt32.max, what: "vsock CID"),
        port: try Self.number(values[1], 0...UInt32.max, what: "vsock port"))
    default:
      self = .uri(try Self.uri(mode, extra: rest))
    }
  }

  /// How many words belong to `word`, where that is a mode: all that follow where it is a command. nil for other words.
  static func operandCount(ofMode word: String) -> Int? {
    switch word {
    case "[", "--socket-activation", "--systemd-socket-activation", "--command": .max
    case "--tcp", "--vsock": 2
    case "--fd", "--unix": 1
    default: nil
    }
  }

  /// A subprocess and an inherited socket are one connection and cannot be dialled twice.
  var allowsOneConnectionOnly: Bool {
    switch self {
    case .fd, .command, .socketActivation: true
    case .uri, .tcp, .unix, .vsock: false
    }
  }

  /// The socket that we inherited, where that is the server.
  var descriptor: Int32? { if case .fd(let number) = self { number } else { nil } }

  private static func uri(_ word: String, extra: [String]) throws(UsageError) -> String {
    if word.hasPrefix("-") {
      throw UsageError("unknown mode \(word)")
    }
    if let first = extra.first {
      throw UsageError("unexpected \(first) after the URI")
    }
    guard word.contains(":") else {
      throw UsageError("\(word) is not a URI such as nbd://HOST, nor a mode such as --unix SOCKET")
    }
    return word
  }

  private static func program(_ words: [String], mode: String) throws(UsageError) -> [String] {
    guard let name = words.first, !name.isEmpty else { throw UsageError("\(mode) needs a command to run") }
    return words
  }

  private static func values(
    _ words: [String], mode: String, names: [String]
  ) throws(UsageError) -> [String] {
    guard words.count >= names.count else {
      throw UsageError("\(mode) needs \(names.joined(separator: " and "))")
    }
    guard words.count == names.count else {
      throw UsageError("unexpected \(words[names.count]) after \(mode) \(names.joined(separator: " "))")
    }
    return words
  }

  private static func number<T: FixedWidthInteger>(
    _ text: String, _ range: ClosedRange<T>, what: String
  ) throws(UsageError) -> T {
    guard let value = T(text), range.contains(value) else {
      throw UsageError("\(text) is not a \(what)")
    }
    return value
  }

  /// A number or, as nbdfuse takes it, a name from `services(5)`.
  private static func tcpPort(_ text: String) throws(UsageError) -> UInt16 {
    if let port = UInt16(text), port > 0 { return port }
    // Not thread safe, but the command line is read before there is a second thread.
    if text.utf8.contains(where: { !(0x30...0x39).contains($0) }), let entry = getservbyname(text, "tcp") {
      return UInt16(truncatingIfNeeded: entry.pointee.s_port).byteSwapped
    }
    throw UsageError("\(text) is not a TCP port (1 to 65535, or a service name)")
  }
}
