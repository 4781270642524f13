import CGnuTLS
import Glibc
import SystemPackage

/// The files of ``TLSConfiguration``: which they are, and what may be in them.
enum TLSFiles {
  /// Most bytes of one: the bundle of all public authorities has 200 KiB.
  private static let most = 4 << 20
  /// Least bytes of a key that two sides have.
  private static let shortestKey = 16

  /// The folders that are looked for where none is named, in this order.
  static func folders(user: uid_t = geteuid(), home: String? = environment("HOME")) -> [String] {
    guard user != 0 else { return ["/etc/pki/libnbd"] }
    return home.map { ["\($0)/.pki/libnbd", "\($0)/.config/pki/libnbd"] } ?? []
  }

  /// The name of the local user.
  static var username: String {
    if let name = environment("LOGNAME"), !name.isEmpty { return name }
    return getpwuid(geteuid()).flatMap { $0.pointee.pw_name }.map { String(cString: $0) } ?? "nbd"
  }

  private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  /// There is such a name. What it leads to may be unreadable, which is then an error and no reason to do without.
  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 || errno != ENOENT
  }

  /// The content of a file; `isSecret`: which nobody else may read.
  ///
  /// - Throws: ``NBDError/system(_:doing:)``; ``NBDError/insecure(_:)`` for a secret that is none.
  static func read(_ path: String, isSecret: Bool = false) throws(NBDError) -> SecretBytes {
    let shown = "reading \(printable(path))"
    let file = try doing(shown) { () throws(Errno) in
      OwnedDescriptor(try valueOrErrno { open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) })
    }
    var status = stat()
    try doing(shown) { () throws(Errno) in try nothingOrErrno { fstat(file.rawValue, &status) } }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .insecure("\(printable(path)) is not a file") }
    // Of the file that is read, not of what may have taken its name meanwhile.
    if isSecret { try check(status, path) }
    guard status.st_size > 0, status.st_size <= most else {
      throw .insecure("\(printable(path)) has \(status.st_size) bytes: it should have 1 to \(most)")
    }
    let bytes = SecretBytes(count: Int(status.st_size))
    try doing(shown) { () throws(Errno) in
      while bytes.count < bytes.capacity {
        let count = try valueOrErrno { Glibc.read(file.rawValue, bytes.base + bytes.count, bytes.capacity - bytes.count) }
        if count == 0 { return }
        bytes.count += count
      }
    }
    return bytes
  }

  /// A key that others can read is known to them; one that others can write is theirs.
  private static func check(_ status: stat, _ path: String) throws(NBDError) {
    guard status.st_uid == 0 || status.st_uid == geteuid() else {
      throw .insecure("\(printable(path)) belongs to another user, who knows what is in it")
    }
    guard status.st_mode & (S_IRWXO | S_IWGRP) == 0 else {
      throw .insecure("other users may read or write \(printable(path)): it holds a secret; chmod 600")
    }
  }

  /// The key of `username` in a file of `USERNAME:KEY` lines, with its hexadecimal digits as they are.
  static func preSharedKey(of username: String, in path: String) throws(NBDError) -> SecretBytes {
    let file = try read(path, isSecret: true)
    let name = Array(username.utf8)
    for line in file.bytes.split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
      guard line.starts(with: name), line.dropFirst(name.count).first == UInt8(ascii: ":") else { continue }
      let key = line.dropFirst(name.count + 1)
      guard !key.isEmpty, key.count % 2 == 0, key.allSatisfy({ isxdigit(Int32($0)) != 0 }) else {
        throw .insecure("the key of \(printable(username)) in \(printable(path)) is not a row of pairs of hexadecimal digits")
      }
      guard key.count >= 2 * shortestKey else {
        throw .insecure("the key of \(printable(username)) in \(printable(path)) has less than \(shortestKey) bytes: who listens can guess it")
      }
      let result = SecretBytes(count: key.count)
      for byte in key {
        result.base.storeBytes(of: byte, toByteOffset: result.count, as: UInt8.self)
        result.count += 1
      }
      return result
    }
    throw .insecure("\(printable(path)) has no key of the user \(printable(username))")
  }
}

/// Bytes that are wiped when they are not needed any more.
final class SecretBytes {
  let base: UnsafeMutableRawPointer
  let capacity: Int
  /// So many are there.
  var count = 0

  init(count: Int) {
    capacity = count
    base = .allocate(byteCount: max(count, 1), alignment: 16)
  }

  deinit {
    explicit_bzero(base, capacity)
    base.deallocate()
  }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// For GnuTLS, while this object lives.
  var datum: gnutls_datum_t {
    gnutls_datum_t(data: base.assumingMemoryBound(to: UInt8.self), size: UInt32(truncatingIfNeeded: count))
  }
}
