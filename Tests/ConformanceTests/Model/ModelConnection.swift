import Glibc

/// One connection of a model server: what was agreed on it, and what was said.
final class ModelConnection {
  enum Place { case flags, option, payload }

  let server: ModelServer
  let socket: Int32
  var offer: Offer { server.offer }
  let disk: ModelDisk
  var violation: Violation? { server.violation }

  var clientFlags: UInt32 = 0
  var isStructured = false
  var isExtended = false
  /// Selected contexts with their numbers, and the export for which.
  var selected: [(id: UInt32, name: String)] = []
  var selectedFor: [UInt8] = []
  /// Numbers of the options so far, with the one in hand.
  var history: [UInt32] = []
  /// Types of the requests so far, with the one in hand.
  var requests: [SeenRequest] = []
  /// What the option in hand asks for, of NBD_OPT_INFO and NBD_OPT_GO.
  var items: [UInt16] = []
  /// What was asked for when the haggling ended.
  var goItems: [UInt16] = []
  var isOpen = true
  /// For ``Violation/Mistake/cachesReads``.
  var readCache: [UInt64: [UInt8]] = [:]
  private var tls: ModelTLS?
  /// Bytes that are read before all others, for ``Violation/Mistake/carriesClearTextOver``.
  private var carried: [UInt8] = []
  /// What is said is inside TLS.
  var isProtected: Bool { tls != nil }

  init(_ server: ModelServer, _ socket: Int32) {
    self.server = server
    self.socket = socket
    disk = server.offer.isCommand ? ModelDisk(size: server.offer.size) : server.disk
  }

  func makes(_ mistake: Violation.Mistake) -> Bool { violation?.mistakes.contains(mistake) ?? false }

  /// The request before the one in hand.
  var previous: SeenRequest? { requests.dropLast().last }

  func send(_ bytes: [UInt8]) {
    if let tls {
      if isOpen, !tls.send(bytes) { isOpen = false }
      return
    }
    var position = 0
    if offer.delay > 0 { usleep(offer.delay) }
    while position < bytes.count, isOpen {
      let count = bytes.withUnsafeBytes { Glibc.send(socket, $0.baseAddress! + position, $0.count - position, Int32(MSG_NOSIGNAL)) }
      if count <= 0 { isOpen = false } else { position += count }
    }
  }

  func end() {
    isOpen = false
    tls?.end()
    shutdown(socket, Int32(SHUT_RDWR))
  }

  /// Exactly `count` bytes; nil at the end. `place` is told where that comes in the middle.
  func receive(_ count: Int, _ place: Place? = nil, once: Bool = false) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var position = 0
    while position < count {
      let got = bytes.withUnsafeMutableBytes { take(UnsafeMutableRawBufferPointer(rebasing: $0[position...])) }
      guard got > 0 else {
        if let place, position > 0 || place == .payload { violation?.cut?(self, place) }
        isOpen = false
        return nil
      }
      position += got
      if once, position < count {
        end()
        return nil
      }
    }
    return bytes
  }

  /// What has come, into `place`: how many bytes, 0 or less at the end.
  private func take(_ place: UnsafeMutableRawBufferPointer) -> Int {
    guard carried.isEmpty else {
      let count = min(carried.count, place.count)
      place.copyBytes(from: carried.prefix(count))
      carried.removeFirst(count)
      return count
    }
    return tls?.receive(place) ?? recv(socket, place.baseAddress, place.count, 0)
  }

  /// Begins TLS, to which the client has been told that it may, and forgets what was agreed before. A client that says something
  /// else is hung up on.
  func beginTLS() {
    var first: UInt8 = 0
    while recv(socket, &first, 1, Int32(MSG_PEEK)) == 1, first != 0x16 {
      guard makes(.ignoresGarbageForTLS) else { return end() }
      _ = recv(socket, &first, 1, 0)
    }
    let versions = violation?.versions?(ModelTLS.offered(socket)) ?? ModelTLS.versions
    tls = ModelTLS(socket, versions: versions)
    guard isProtected else { return end() }
    if !makes(.keepsStructuredReplies) { isStructured = false }
    if !makes(.keepsExtendedHeaders) { isExtended = false }
    if !makes(.keepsContexts) { selected = [] }
  }

  /// Takes what came in the clear behind an option for what comes inside TLS.
  func carryClearTextOver() {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    if count > 0 { carried += bytes[..<count] }
  }

  /// Ends TLS before the connection is closed.
  private func endTLS() {
    if makes(.cutsTLSOffAtDisconnect), requests.last?.type == Cmd.disconnect { return }
    if makes(.cutsTLSOffAtAbort), requests.isEmpty, history.last == Opt.abort { return }
    tls?.end()
  }

  /// Says nothing until the client has gone.
  func listen() { while receive(1) != nil {} }

  /// Whether the client says something, or goes, within `milliseconds`.
  func hears(_ milliseconds: Int32) -> Bool {
    if tls?.hasPending ?? false { return true }
    var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, milliseconds) > 0
  }

  /// Forgets what the client has sent beyond what was read.
  func drain() {
    var bytes = [UInt8](repeating: 0, count: 4096)
    while recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {}
  }

  func run() {
    defer { endTLS() }
    if offer.isOldstyle {
      let greeting =
        ascii("NBDMAGIC") + be(0x0000_4202_8186_1253 as UInt64) + be(offer.size) + be(UInt32(offer.flags))
        + [UInt8](repeating: 0, count: 124)
      send(violation?.greeting?(greeting) ?? greeting)
      return transmit()
    }
    let greeting = ascii("NBDMAGICIHAVEOPT") + be(offer.handshakeFlags)
    send(violation?.greeting?(greeting) ?? greeting)
    if makes(.talksBehindGreeting), !hears(150) { send([0]) }
    // The violation's greeting may have been another server's.
    if violation?.greeting?(greeting).count ?? 18 > 100 { return transmit() }
    guard let flags = receive(4, .flags) else { return }
    clientFlags = UInt32(number(flags[...]))
    let isFine = clientFlags & ~UInt32(offer.handshakeFlags & 3) == 0
    guard violation?.takesFlags?(clientFlags) ?? isFine else { return }
    if haggle() { transmit() }
  }

  /// Says an export's flags.
  var flags: UInt16 {
    var flags = offer.flags
    if isStructured || isExtended { flags |= 1 << 7 }
    if isExtended, !selected.isEmpty { flags |= 1 << 12 }
    return violation?.flags?(self, flags) ?? flags
  }

  func knows(_ name: [UInt8]) -> Bool { name.isEmpty || offer.exports.contains { ascii($0) == name } }
}
