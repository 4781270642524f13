import CGnuTLS
import Glibc
import NBDProtocol
import TestSupport

/// The server's side of TLS on one connection of a model server, which knows its clients by a key that both have. Blocks, as its
/// socket does; for one thread.
final class ModelTLS {
  private let session: TLSServerSession

  /// What a good server takes, as GnuTLS says it.
  static let versions = "+VERS-TLS1.3:+VERS-TLS1.2"

  /// Nil where the two sides do not agree, of which the client has been told.
  init?(_ socket: Int32, versions: String) {
    do { session = try TLSServerSession(socket, Self.key, versions: versions) } catch { return nil }
  }

  /// False where the client has gone.
  func send(_ bytes: [UInt8]) -> Bool { (try? session.send(bytes)) != nil }

  /// At least one byte, and at most as many as there is room for; 0 at the end.
  func receive(_ place: UnsafeMutableRawBufferPointer) -> Int { (try? session.receive(place)) ?? 0 }

  /// Bytes wait here that the socket does not tell of.
  var hasPending: Bool { session.hasPending }

  /// Says that nothing more comes (close_notify).
  func end() { session.end() }

  // MARK: The key

  private static let secret: [UInt8] = (0..<32).map { UInt8(200 - 3 * $0) }
  private static let client = "model"

  // Nobody changes it once it is made.
  nonisolated(unsafe) private static let key: gnutls_psk_server_credentials_t = {
    var made: gnutls_psk_server_credentials_t?
    guard gnutls_psk_allocate_server_credentials(&made) >= 0, let made else { fatalError("no credentials") }
    gnutls_psk_set_server_credentials_function(made) { _, _, key in
      // GnuTLS frees it, with free(3).
      guard let key, let bytes = malloc(ModelTLS.secret.count) else { return -1 }
      memcpy(bytes, ModelTLS.secret, ModelTLS.secret.count)
      key.pointee = gnutls_datum_t(data: bytes.assumingMemoryBound(to: UInt8.self), size: UInt32(ModelTLS.secret.count))
      return 0
    }
    return made
  }()

  /// With what a client begins TLS with such a server.
  static let credentials: TLSCredentials? = {
    var name = Array("/tmp/nbdmount-key-XXXXXX".utf8CString)
    let file = mkstemp(&name)
    guard file >= 0 else { return nil }
    let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer {
      close(file)
      unlink(path)
    }
    let digits = secret.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    let line = ascii("\(client):\(digits)\n")
    guard write(file, line, line.count) == line.count else { return nil }
    var configuration = TLSConfiguration()
    configuration.preSharedKeyFile = path
    configuration.username = client
    return try? TLSCredentials(configuration, for: .unix(path: ascii("model")))
  }()

  // MARK: What the client offers

  /// The versions that a client offers whose first message waits at the socket, as numbers of TLS: 0x0303 is 1.2. Of an old client,
  /// which names only the last one, that one (RFC 8446, 4.1.2 and 4.2.1).
  static func offered(_ socket: Int32) -> Set<UInt16> {
    var bytes = [UInt8](repeating: 0, count: 16_384)
    let count = recv(socket, &bytes, bytes.count, Int32(MSG_PEEK))
    guard count > 0 else { return [] }
    var hello = Reader(bytes[..<count])
    // Headers of the record and of the message, the version, and 32 random bytes.
    guard hello.skip(9), let last = hello.number(2), hello.skip(32), hello.skipCounted(1), hello.skipCounted(2),
      hello.skipCounted(1)
    else { return [] }
    guard hello.skip(2) else { return [UInt16(last)] }
    while let type = hello.number(2), let length = hello.number(2) {
      guard type == 43 else {
        guard hello.skip(length) else { break }
        continue
      }
      guard hello.skip(1) else { break }
      return Set((0..<(length - 1) / 2).compactMap { _ in hello.number(2).map { UInt16($0) } })
    }
    return [UInt16(last)]
  }

  /// Bytes from the front.
  private struct Reader {
    var rest: ArraySlice<UInt8>

    init(_ rest: ArraySlice<UInt8>) { self.rest = rest }

    mutating func skip(_ count: Int) -> Bool {
      guard count <= rest.count else { return false }
      rest = rest.dropFirst(count)
      return true
    }

    mutating func number(_ size: Int) -> Int? {
      guard size <= rest.count else { return nil }
      defer { rest = rest.dropFirst(size) }
      return rest.prefix(size).reduce(0) { $0 << 8 | Int($1) }
    }

    /// What has its length before it, which takes so many bytes.
    mutating func skipCounted(_ size: Int) -> Bool { number(size).map { skip($0) } ?? false }
  }
}
