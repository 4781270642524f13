import CLinux
import Glibc
import SystemPackage

/// An address as the kernel wants it (`struct sockaddr_*`), of any family.
struct SocketAddress: Sendable {
  private var storage = sockaddr_storage()
  private var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

  var family: Int32 { Int32(storage.ss_family) }

  /// Calls `body` with the pointer and the size that `connect(2)` and `bind(2)` take.
  func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    withUnsafePointer(to: storage) {
      // sockaddr_storage is made for this cast: it has the size and alignment of every family.
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }

  /// The address that `fill` writes, as `getsockname(2)` and `accept(2)` do.
  init(
    filledBy fill: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) throws(Errno) -> Void
  ) throws(Errno) {
    var length = self.length
    try withUnsafeMutablePointer(to: &storage) { (pointer) throws(Errno) in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { (pointer) throws(Errno) in
        try fill(pointer, &length)
      }
    }
    self.length = min(length, self.length)
  }

  private init<Address: BitwiseCopyable>(_ address: Address, length: Int = MemoryLayout<Address>.size) {
    withUnsafeMutableBytes(of: &storage) { target in
      withUnsafeBytes(of: address) { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(target.count))) }
    }
    self.length = socklen_t(length)
  }

  /// Most bytes in the name of a Unix socket, the end or the start marker (NUL) included.
  static let unixPathSize = MemoryLayout.size(ofValue: sockaddr_un().sun_path)

  /// A Unix socket: a path, or a name in the abstract namespace when the first byte is 0. Such a name may hold
  /// any bytes, and its length is part of it. Throws `invalidArgument` where it does not fit.
  init(unixPath path: [UInt8]) throws(NBDError) {
    guard let first = path.first else { throw .invalidArgument("the path of the Unix socket is empty") }
    let isAbstract = first == 0
    let longest = isAbstract ? Self.unixPathSize : Self.unixPathSize - 1
    guard path.count <= longest else {
      throw .invalidArgument(
        "the path of the Unix socket is \(path.count) bytes long, the longest possible is \(longest): "
          + unixPathDescription(path))
    }
    guard isAbstract || !path.contains(0) else {
      throw .invalidArgument("the path of the Unix socket contains a NUL byte: " + unixPathDescription(path))
    }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
    let head = MemoryLayout<sockaddr_un>.size - Self.unixPathSize
    self.init(address, length: head + path.count + (isAbstract ? 0 : 1))
  }

  /// A VM socket: context identifier (2 is the host) and port.
  init(cid: UInt32, port: UInt32) {
    var address = sockaddr_vm()
    address.svm_family = sa_family_t(AF_VSOCK)
    address.svm_cid = cid
    address.svm_port = port
    self.init(address)
  }

  /// `getaddrinfo(3)`: the addresses of `host` for `service` (a name or a decimal number), best first as
  /// RFC 6724 and the system's configuration order them. `host` `nil` means this machine.
  ///
  /// Blocks for as long as the system's resolver does; there is no way to give it a deadline.
  static func resolve(host: String?, service: String) throws(NBDError) -> [SocketAddress] {
    let shown = printable(host ?? "localhost")
    // C would see the text up to the NUL only, and so another host.
    guard !(host ?? "").utf8.contains(0), !service.utf8.contains(0), (host ?? "").utf8.count <= Int(NI_MAXHOST) else {
      throw .invalidArgument("\"\(shown)\" port \(printable(service)) is not a host name and a port")
    }
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, service, &hints, &list)
    let error = Errno(rawValue: errno)
    defer { if let list { freeaddrinfo(list) } }
    guard status == 0 else {
      if status == EAI_SYSTEM { throw .system(error, doing: "resolving \"\(shown)\"") }
      let reason = String(cString: gai_strerror(status))
      throw .disconnected("cannot resolve \"\(shown)\" port \(printable(service)): \(reason)")
    }
    var addresses: [SocketAddress] = []
    var next = list
    while let entry = next, addresses.count < Limits.addressesOfOneName {
      if let address = SocketAddress(entry.pointee) { addresses.append(address) }
      next = entry.pointee.ai_next
    }
    return addresses
  }

  private init?(_ entry: addrinfo) {
    guard let address = entry.ai_addr, Int(entry.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size else { return nil }
    withUnsafeMutableBytes(of: &storage) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(entry.ai_addrlen)))
    }
    length = entry.ai_addrlen
  }

  /// TCP port, where the family has one.
  var port: UInt16? {
    switch family {
    case AF_INET: withUnsafeBytes(of: storage) { UInt16(bigEndian: $0.load(as: sockaddr_in.self).sin_port) }
    case AF_INET6: withUnsafeBytes(of: storage) { UInt16(bigEndian: $0.load(as: sockaddr_in6.self).sin6_port) }
    default: nil
    }
  }

  /// The bytes of the address, to compare two of them.
  var bytes: [UInt8] { withUnsafeBytes(of: storage) { Array($0.prefix(Int(length))) } }
}

extension SocketAddress: CustomStringConvertible {
  /// The host in numbers (`getnameinfo(3)`), IPv6 in brackets; no port. Other families by name.
  var description: String {
    guard family == AF_INET || family == AF_INET6 else {
      return family == AF_UNIX ? "Unix socket" : family == AF_VSOCK ? "vsock" : "address family \(family)"
    }
    var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let status = withSockaddr { getnameinfo($0, $1, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) }
    guard status == 0 else { return "unprintable address" }
    let text = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return family == AF_INET6 ? "[\(text)]" : text
  }
}

/// The path of a Unix socket for messages; `@` stands for the NUL of the abstract namespace, as in `ss(8)`.
func unixPathDescription(_ path: [UInt8]) -> String {
  path.first == 0
    ? "@" + printable(String(decoding: path.dropFirst(), as: UTF8.self))
    : printable(String(decoding: path, as: UTF8.self))
}
