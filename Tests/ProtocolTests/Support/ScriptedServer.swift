import Foundation
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import NBDProtocol

/// An NBD server in this process that can say anything: each connection is a thread that runs a script over a plain blocking
/// socket. It shares no code with the library but the thread's start and the name of its socket.
final class ScriptedServer: Sendable {
  /// What the negotiation offers.
  struct Offer: Sendable {
    var replies = ReplyForm.simple
    var size: UInt64 = 1 << 20
    /// `HAS_FLAGS`, flush, FUA, trim, zeroes, multi-conn, cache, fast zero.
    var flags: UInt16 = 0b1101_0110_1101
    /// Minimum, preferred, maximum; nil leaves the information out.
    var blocks: [UInt32]?
    /// The number for `base:allocation`.
    var context: UInt32? = 7
    var isOldstyle = false
    /// Each byte is sent when the client has taken the one before it.
    var isDripping = false
    var manner = Manner.negotiates
  }

  /// How a server receives a client.
  enum Manner: Sendable {
    case negotiates, hangsUp
    /// Until the client leaves.
    case isSilent
  }

  /// One connection, seen from the server.
  final class Connection {
    let socket: Int32
    let offer: Offer
    /// 0 for the first connection that the server accepted.
    let number: Int
    private var reader = RequestReader()
    private(set) var isAtEnd = false

    init(socket: Int32, offer: Offer, number: Int) {
      self.socket = socket
      self.offer = offer
      self.number = number
    }

    var form: ChunkForm { offer.replies.chunks ?? .structured }

    /// Sends all of `bytes`. False where the client is gone.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
      var position = 0
      while position < bytes.count {
        let most = offer.isDripping ? 1 : bytes.count - position
        let count = bytes.withUnsafeBytes { Glibc.send(socket, $0.baseAddress! + position, most, Int32(MSG_NOSIGNAL)) }
        if count < 0 || offer.isDripping && !isTaken() { return false }
        position += count
      }
      return true
    }

    /// Waits until the client has received what was sent.
    private func isTaken() -> Bool {
      eventually {
        var unread: Int32 = 0
        return ioctl(socket, UInt(TIOCOUTQ), &unread) != 0 || unread == 0
      }
    }

    /// Sends one byte at a time.
    func drip(_ bytes: [UInt8]) { for byte in bytes { send([byte]) } }

    /// Exactly `count` bytes, or nil at the end.
    func receive(_ count: Int) -> [UInt8]? {
      var bytes = [UInt8](repeating: 0, count: count)
      var position = 0
      while position < count {
        let got = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + position, count - position, 0) }
        if got <= 0 {
          isAtEnd = true
          return nil
        }
        position += got
      }
      return bytes
    }

    /// The next request with its payload; nil at the end of the stream.
    func request() -> SeenRequest? {
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      while true {
        if let request = reader.next() { return request }
        let count = recv(socket, &buffer, buffer.count, 0)
        if count <= 0 {
          isAtEnd = true
          return nil
        }
        reader.append(buffer.prefix(count))
      }
    }

    /// The next request's header; its payload, if any, stays in the socket.
    func header() -> SeenRequest? {
      guard let bytes = receive(offer.replies == .extended ? 32 : 28) else { return nil }
      var reader = RequestReader()
      reader.append(bytes)
      return reader.peek()?.0
    }

    /// `count` requests, or fewer at the end of the stream.
    func requests(_ count: Int) -> [SeenRequest] {
      var all: [SeenRequest] = []
      while all.count < count, let request = request() { all.append(request) }
      return all
    }

    func success(_ request: SeenRequest, _ data: [UInt8] = []) -> [UInt8] { offer.replies.success(request, data) }

    func failure(_ request: SeenRequest, _ code: UInt32) -> [UInt8] { offer.replies.failure(request, code) }

    /// A good answer: reads give ``pattern(_:from:)`` of their offset.
    func answer(_ request: SeenRequest) -> [UInt8] {
      switch request.command {
      case SeenRequest.read: success(request, pattern(Int(request.length), from: request.offset))
      case SeenRequest.blockStatus:
        form.status(request, context: offer.context ?? 0, [(request.length, 0)])
      default: success(request)
      }
    }

    /// Answers everything well until the disconnect or the end. Returns whether there was a disconnect.
    @discardableResult
    func serve(_ first: SeenRequest? = nil) -> Bool {
      var next = first ?? request()
      while let request = next {
        if request.command == SeenRequest.disconnect { return true }
        guard send(answer(request)) else { return false }
        next = self.request()
      }
      return false
    }

    /// Closes while something is unread, so that the client sees a reset. The number stays taken.
    func reset() {
      var descriptor = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
      poll(&descriptor, 1, 10_000)
      let other = open("/dev/null", O_RDWR)
      dup2(other, socket)
      close(other)
    }

    /// The newstyle negotiation, up to `NBD_OPT_GO`. False where the client left.
    func negotiate() -> Bool {
      switch offer.manner {
      case .negotiates: break
      case .hangsUp: return false
      case .isSilent:
        _ = receive(1)
        return false
      }
      if offer.isOldstyle { return send(Server.oldstyle(size: offer.size, flags: UInt32(offer.flags))) }
      guard send(Server.greeting()), receive(4) != nil else { return false }
      while let header = receive(16) {
        func number(_ range: Range<Int>) -> UInt32 { header[range].reduce(0) { $0 << 8 | UInt32($1) } }
        let option = number(8..<12)
        guard let data = receive(Int(number(12..<16))) else { return false }
        _ = data
        switch option {
        case 11: send(offer.replies == .extended ? Server.ack(11) : Server.error(11, 1))
        case 8: send(offer.replies != .simple ? Server.ack(8) : Server.error(8, 1))
        case 10:
          send(offer.context.map { Server.context(10, id: $0, "base:allocation") } ?? [])
          send(Server.ack(10))
        case 7:
          send(Server.infoExport(size: offer.size, flags: offer.flags))
          if let blocks = offer.blocks { send(Server.infoSizes(blocks[0], blocks[1], blocks[2])) }
          return send(Server.ack(7))
        default: send(Server.error(option, 1))
        }
      }
      return false
    }
  }

  private struct State {
    var threads: [pthread_t] = []
    var sockets: [Int32] = []
  }

  let path: String
  private let directory: String
  private let listener: Int32
  private let state = Mutex(State())
  private let acceptor: pthread_t
  private let accepted = Atomic<Int>(0)

  /// Connections accepted so far.
  var connectionCount: Int { accepted.load(ordering: .acquiring) }

  convenience init(_ offer: Offer = Offer(), script: @escaping @Sendable (Connection) -> Void) throws {
    try self.init([offer], script: script)
  }

  /// - Parameters:
  ///   - offers: for one connection after the other; the last one is for all that follow.
  ///   - script: runs on a thread of its own for each connection whose negotiation went well; the connection is closed
  ///     when it returns.
  init(_ offers: [Offer], script: @escaping @Sendable (Connection) -> Void) throws {
    var template = Array("\(FileManager.default.temporaryDirectory.path)/nbd-scripted-XXXXXX".utf8CString)
    directory = String(cString: try #require(mkdtemp(&template)))
    let path = directory + "/socket"
    self.path = path
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    self.listener = listener
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let isListening = withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 && listen(listener, 16) == 0
      }
    }
    try #require(isListening)
    let box = Box()
    acceptor = try POSIXThread.start("a scripted server") {
      while true {
        let socket = accept(listener, nil, nil)
        guard socket >= 0, let server = box.server else { return }
        server.run(socket, offers, script)
      }
    }
    box.server = self
  }

  /// Answers everything well; `isDisconnected` happens when the last that a client sends is a disconnect.
  convenience init(_ offer: Offer = Offer(), isDisconnected: Moment) throws {
    try self.init(offer) { if $0.serve(), $0.request() == nil { isDisconnected.happened() } }
  }

  private final class Box: @unchecked Sendable {
    // Set once, before the first client can know the socket's name.
    weak var server: ScriptedServer?
  }

  private func run(_ socket: Int32, _ offers: [Offer], _ script: @escaping @Sendable (Connection) -> Void) {
    let number = accepted.add(1, ordering: .acquiringAndReleasing).oldValue
    let thread = try? POSIXThread.start("a scripted connection") {
      let connection = Connection(socket: socket, offer: offers[min(number, offers.count - 1)], number: number)
      if connection.negotiate() { script(connection) }
      shutdown(socket, Int32(SHUT_RDWR))
    }
    state.withLock {
      $0.sockets.append(socket)
      if let thread { $0.threads.append(thread) }
    }
  }

  /// Ends every connection and waits for the scripts.
  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    pthread_join(acceptor, nil)
    let (threads, sockets) = state.withLock { ($0.threads, $0.sockets) }
    for socket in sockets { shutdown(socket, Int32(SHUT_RDWR)) }
    for thread in threads { pthread_join(thread, nil) }
    for socket in sockets { close(socket) }
    close(listener)
    unlink(path)
    rmdir(directory)
  }

  var endpoint: ServerEndpoint {
    get throws { try ServerEndpoint(.unix(path: Array(path.utf8))) }
  }

  /// A client of this server.
  func client(connections: Int = 1) throws -> NBDClient {
    try NBDClient(endpoint, NBDClient.Configuration(connections: connections))
  }
}
