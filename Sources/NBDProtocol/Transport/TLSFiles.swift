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

  /// What is in a file, and so who else may do what with it.
  enum Content {
    /// A key: who can read it is who we are, or who the server is.
    case secret
    /// Whom to believe: who can write it can be the server.
    case authority
    /// A certificate of our own: the server judges it.
    case other
  }

  /// The content of a file, of 1 byte to 4 MiB.
  ///
  /// - Throws: ``NBDError/system(_:doing:)``; ``NBDError/insecure(_:)`` where others may do what they must not.
  static func read(_ path: String, as content: Content) throws(NBDError) -> SecretBytes {
    let shown = "reading \(printable(path))"
    let file = try doing(shown) { () throws(Errno) in
      OwnedDescriptor(try valueOrErrno { open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) })
    }
    var status = stat()
    try doing(shown) { () throws(Errno) in try nothingOrErrno { fstat(file.rawValue, &status) } }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .insecure("\(printable(path)) is not a file") }
    // Of the file that is read, not of what may have taken its name meanwhile.
    if let problem = problem(with: status, as: content) { throw .insecure("\(printable(path)) \(problem)") }
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

  /// A folder with a file that says whom to believe: who can write there can put another file in its place, or take the list of
  /// revoked certificates away. Where the sticky bit is set, as in /tmp, only the owners of its files can.
  ///
  /// - Throws: ``NBDError/insecure(_:)``. Nothing where there is no such folder, which reading its files will tell.
  static func check(folder path: String) throws(NBDError) {
    var status = stat()
    guard stat(path, &status) == 0, let problem = problem(with: status, as: .authority) else { return }
    throw .insecure("the folder \(printable(path)) \(problem)")
  }

  /// Why a file, or a folder, is not to be relied on; the rest of a sentence that begins with its name.
  ///
  /// The rule for secrets is that of ssh: nobody but the owner. A file of root's is open to us by its group where we are not root,
  /// which is how a machine's keys are given to services (`ssl-cert`); then the group is whom root trusts with it.
  ///
  /// - Parameter user: who we are.
  static func problem(with status: stat, as content: Content, user: uid_t = geteuid()) -> String? {
    let isTrusted = status.st_uid == 0 || status.st_uid == user
    switch content {
    case .secret:
      guard isTrusted else { return "belongs to another user, who knows what is in it: make a copy of your own, chmod 600" }
      let isOfGroup = status.st_uid == 0 && user != 0
      if status.st_mode & (isOfGroup ? S_IRWXO | S_IWGRP | S_IXGRP : S_IRWXO | S_IRWXG) == 0 { return nil }
      return "holds a secret, and users besides its owner may read or write it: chmod 600"
    case .authority:
      guard isTrusted else { return "belongs to another user, who could be the server with it: make a copy of your own" }
      if status.st_mode & (S_IWGRP | S_IWOTH) == 0 || isSticky(status) { return nil }
      return "says whom to believe, and users besides its owner may write it, who could be the server: chmod go-w"
    case .other: return nil
    }
  }

  private static func isSticky(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFDIR && status.st_mode & S_ISVTX != 0 }

  /// The key of `username` in a file of `USERNAME:KEY` lines, with its hexadecimal digits as they are.
  static func preSharedKey(of username: String, in path: String) throws(NBDError) -> SecretBytes {
    let file = try read(path, as: .secret)
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
