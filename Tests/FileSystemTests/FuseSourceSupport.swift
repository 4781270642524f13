import CFuse3
import Glibc
import Testing

@testable import NBDMount
@testable import NBDProtocol

/// The kernel's side of `/dev/fuse`, played by a test: each message on this socket is a request or an answer.
final class ModelKernel {
  struct Answer {
    let unique: UInt64
    let error: Int32
    let body: [UInt8]

    /// What a good answer says; nil where it is an error, or too short.
    func `as`<Body: BitwiseCopyable>(_ type: Body.Type) -> Body? {
      guard error == 0, body.count >= MemoryLayout<Body>.size else { return nil }
      return body.withUnsafeBytes { $0.loadUnaligned(as: type) }
    }
  }

  private let near: OwnedDescriptor

  /// - Returns: the descriptor to serve.
  init(_ device: inout Int32) throws {
    var sockets: [Int32] = [-1, -1]
    let type = Int32(SOCK_SEQPACKET.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    try #require(socketpair(AF_UNIX, type, 0, &sockets) == 0)
    near = OwnedDescriptor(sockets[0])
    device = sockets[1]
  }

  /// A request for the file, as it stands in the device.
  static func request<Body: BitwiseCopyable>(_ opcode: fuse_opcode, _ unique: UInt64, _ body: Body) -> [UInt8] {
    var header = fuse_in_header()
    header.len = UInt32(DeviceWire.inHeader + MemoryLayout<Body>.size)
    header.opcode = UInt32(opcode.rawValue)
    header.unique = unique
    header.nodeid = FileLayout.root + 1
    return withUnsafeBytes(of: header) { Array($0) } + withUnsafeBytes(of: body) { Array($0) }
  }

  func send(_ request: [UInt8]) { #expect(write(near.rawValue, request, request.count) == request.count) }

  /// The next answer, where there is one.
  func answer() -> Answer? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(near.rawValue, &bytes, bytes.count)
    guard count >= DeviceWire.outHeader else { return nil }
    let header = bytes.withUnsafeBytes { $0.loadUnaligned(as: fuse_out_header.self) }
    return Answer(unique: header.unique, error: header.error, body: Array(bytes[DeviceWire.outHeader..<count]))
  }
}

/// A source, and what it needs around it, on a thread of its own. The loop is never run: what happens, the test has happen.
struct SourceSession: ~Copyable {
  let kernel: ModelKernel
  let file: ExportFile
  let source: FuseSource
  var loop: ReactorLoop

  init(_ export: Export) throws {
    let file = ExportFile(export, cache: .writethrough)
    let engine = ReactorEngine(reactors: 1, isDebugging: false, try EndOfService())
    let options = RequestHandler.Options(
      entryTimeout: 0, attributeTimeout: 0, maxBackground: 16, maxRead: 0, maxWrite: 65_536, keepsCache: false, prefetch: 0)
    let handler = RequestHandler(file, .reactor(engine), options)
    var device: Int32 = -1
    let kernel = try ModelKernel(&device)
    let session = try FuseSession(handler, arguments: ["nbdmount"])
    try session.answer(on: OwnedDescriptor(device))
    var first = fuse_init_in()
    first.major = 7
    first.minor = 38
    var request = ModelKernel.request(FUSE_INIT, 1, first)
    request.withUnsafeMutableBytes { bytes in
      var buffer = fuse_buf()
      buffer.mem = bytes.baseAddress
      buffer.size = bytes.count
      session.process(&buffer)
    }
    try #require(kernel.answer()?.error == 0)
    let source = try engine.makeSource(session, handler)
    source.bindToThread()
    let reactor = try Reactor(export, RangeGate(minimumBlock: 1), Link())
    var sockets: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &sockets) == 0)
    close(sockets[1])
    self.kernel = kernel
    self.file = file
    self.source = source
    loop = ReactorLoop(reactor, Channel(OwnedDescriptor(sockets[0])), [], [reactor], source)
  }

  mutating func readRequests() { _ = source.readRequests(&loop) }

  /// Has the server answer what it was sent. `reply`: to each request.
  mutating func serve(_ reply: (ModelDisk.Request) -> [UInt8]) {
    var wire: [UInt8] = []
    while !loop.connection.machine.output.isEmpty {
      let sent = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 8) { vectors in
        vectors.prefix(loop.connection.machine.output.fill(vectors)).flatMap {
          Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len))
        }
      }
      wire += sent
      loop.connection.machine.sent(sent.count)
    }
    while let request = ModelDisk.Request(wire[...]) {
      wire.removeFirst(request.end)
      loop.connection.machine.receive(reply(request))
      loop.drainEvents()
    }
  }
}

extension TransmissionMachine {
  /// Receives all of `bytes`; for messages that fit in its own buffer.
  fileprivate mutating func receive(_ bytes: [UInt8]) {
    let count = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 8) { vectors in
      guard let base = vectors.baseAddress, receiveVectors(base) > 0, base[0].iov_len >= bytes.count else { return 0 }
      base[0].iov_base?.copyMemory(from: bytes, byteCount: bytes.count)
      return bytes.count
    }
    #expect(count == bytes.count)
    received(count)
  }
}
