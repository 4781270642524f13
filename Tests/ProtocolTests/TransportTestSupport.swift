import Dispatch
import Foundation
import Glibc
import SystemPackage
import Testing

@testable import NBDProtocol

/// Runs blocking work off Swift's cooperative pool, which has no thread to spare.
func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    DispatchQueue.global().async { continuation.resume(with: Result(catching: work)) }
  }
}

/// The error that `work` throws, as a person reads it.
func message(of work: () throws -> Void) throws -> String {
  try #require(#expect(throws: NBDError.self, performing: work)).description
}

/// A directory of its own for one test, removed with what is in it.
final class Scratch {
  let path: String
  init() throws { path = try Syscall.makeTemporaryDirectory(FileManager.default.temporaryDirectory.path + "/nbdmount-test-XXXXXX") }
  private var names: [String] = []

  func file(_ name: String) -> String {
    names.append(name)
    return path + "/" + name
  }

  deinit {
    for name in names { unlink(path + "/" + name) }
    rmdir(path)
  }
}

/// A listening socket.
struct Listener: ~Copyable {
  let socket: OwnedDescriptor
  let address: SocketAddress
  var port: UInt16 { address.port ?? 0 }

  init(_ wanted: SocketAddress, backlog: Int32 = 16) throws {
    let socket = try Syscall.socket(family: wanted.family, blocking: true)
    try Syscall.bind(socket.rawValue, to: wanted)
    try Syscall.listen(socket.rawValue, backlog: backlog)
    address = try Syscall.localAddress(socket.rawValue)
    self.socket = socket
  }

  /// On a free port of the loopback interface.
  init(host: String = "127.0.0.1", backlog: Int32 = 16) throws {
    let address = try #require(try SocketAddress.resolve(host: host, service: "0").first)
    try self.init(address, backlog: backlog)
  }

  func accept() throws -> OwnedDescriptor { OwnedDescriptor(try valueOrErrno { Glibc.accept(socket.rawValue, nil, nil) }) }

  /// Connections that nobody accepts, until there is no room for another.
  func fill() throws -> Crowd {
    let crowd = Crowd()
    while true {
      let socket = try Syscall.socket(family: address.family, blocking: false)
      let error = Syscall.connectOnce(socket.rawValue, to: address)
      if error == .resourceTemporarilyUnavailable { return crowd }
      let isConnected =
        try error == nil || Syscall.poll(socket.rawValue, for: Int32(POLLOUT), until: .after(milliseconds: 200))
      crowd.sockets.append(socket.release())
      if !isConnected { return crowd }
    }
  }

  final class Crowd {
    var sockets: [Int32] = []
    deinit { for socket in sockets { close(socket) } }
  }
}

/// A port of 127.0.0.1 or ::1 on which nobody listens, and nobody can while this lives.
struct ClosedPort: ~Copyable {
  let address: SocketAddress
  private let holder: OwnedDescriptor
  var port: UInt16 { address.port ?? 0 }

  init(host: String = "127.0.0.1") throws {
    let wanted = try #require(try SocketAddress.resolve(host: host, service: "0").first)
    let holder = try Syscall.socket(family: wanted.family, blocking: true)
    try Syscall.bind(holder.rawValue, to: wanted)
    address = try Syscall.localAddress(holder.rawValue)
    self.holder = holder
  }
}

/// Reads from a descriptor until `isComplete`, the end, or ten seconds have passed.
func read(_ descriptor: Int32, atOnce most: Int = 4096, until isComplete: ([UInt8]) -> Bool) throws -> [UInt8] {
  let deadline = Deadline.after(milliseconds: 10_000)
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: most)
  while !isComplete(bytes) {
    try #require(try Syscall.poll(descriptor, for: Int32(POLLIN), until: deadline), "nothing to read in ten seconds")
    let count = try valueOrErrno { Glibc.read(descriptor, &buffer, most) }
    if count == 0 { break }
    bytes += buffer.prefix(count)
  }
  return bytes
}

/// Byte by byte, so that the next line stays unread.
func readLine(_ descriptor: Int32) throws -> String {
  String(decoding: try read(descriptor, atOnce: 1) { $0.last == UInt8(ascii: "\n") }.dropLast(), as: UTF8.self)
}

/// A named pipe that a child process can report through, whatever descriptors it has.
func reportPipe(_ path: String) throws -> OwnedDescriptor {
  try nothingOrErrno { mkfifo(path, 0o600) }
  // Open both ways, so that opening does not wait for the child, nor reading see an end before it came.
  return OwnedDescriptor(
    try FileDescriptor.open(FilePath(path), .readWrite, options: [.nonBlocking, .closeOnExec]).rawValue)
}

/// Whether the process ends within ten seconds.
func ends(_ process: borrowing OwnedDescriptor) throws -> Bool {
  try Syscall.poll(process.rawValue, for: Int32(POLLIN), until: .after(milliseconds: 10_000))
}

/// What a descriptor of a process is, as `socket:[INODE]`.
func descriptorTarget(_ process: String, _ number: String) -> String { linkTarget("/proc/\(process)/fd/\(number)") }

/// What a symbolic link says; "" for what is none.
func linkTarget(_ path: String) -> String {
  var buffer = [CChar](repeating: 0, count: 4096)
  let length = readlink(path, &buffer, buffer.count)
  return String(decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
