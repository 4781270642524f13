import Glibc
import NBDProtocol
import SystemPackage

/// Why bytes did not come.
enum StreamEnd: Error, Hashable {
  /// The server ended the connection; so many of the bytes had come.
  case ended(after: Int)
  /// Nothing came for as long as is waited; so many of the bytes had come.
  case silent(after: Int)
  /// The time for all of it is over; so many of the bytes had come.
  case late(after: Int)
}

/// A channel with deadlines: so many bytes, now, or why not. It never waits for longer than it was told to, whatever the
/// server does, and holds a bounded amount of what the server says. With TLS the bytes are those inside it.
final class ByteStream {
  /// Bytes that may wait here unread. Who sends more than that while we send is not read from until we are done.
  static let bound = 80 << 20
  private let bound: Int

  private var channel: Channel
  private var buffer: [UInt8] = []
  private var position = 0
  /// What one system call takes in.
  private var piece = [UInt8](repeating: 0, count: 1 << 16)
  /// The last system call filled it, so that there may be more, which `poll` does not tell of where it is decrypted already.
  private var isPieceFull = false
  /// The server has closed the connection, or reset it, or TLS has ended. Bytes may still wait here.
  private(set) var hasEnded = false
  /// Why that was no end in order, such as a reset, or an end without that of TLS; nil where it was, and before.
  private(set) var breakage: String?

  /// Milliseconds without progress that are waited.
  let patience: Int
  /// When waiting ends, progress or not.
  let deadline: Deadline

  init(_ socket: consuming OwnedDescriptor, patience: Int, deadline: Deadline, bound: Int = ByteStream.bound) {
    channel = Channel(socket)
    self.bound = bound
    self.patience = patience
    self.deadline = deadline
  }

  private var waiting: Int { buffer.count - position }

  /// Encrypts what is sent from here on. Blocks until `deadline`.
  ///
  /// - Throws: what ``Channel`` does; ``NBDError/insecure(_:)`` where the server has said something in the clear already.
  func startTLS(_ credentials: TLSCredentials, _ versions: TLSVersions, until deadline: Deadline) throws(NBDError) {
    guard waiting == 0 else { throw .insecure("\(waiting) bytes in the clear where TLS should begin") }
    try channel.startTLS(credentials, versions, until: deadline)
  }

  /// What protects the connection, such as `TLS1.3, AES-256-GCM`; nil where nothing does.
  var protection: String? { channel.protection }

  /// Sends all of `bytes`, and takes in meanwhile what comes. False where the server has closed.
  func send(_ bytes: [UInt8]) throws(StreamEnd) -> Bool {
    var sent = 0
    // TLS takes more than the socket does.
    while sent < bytes.count || channel.hasUnsent {
      let result = bytes.withUnsafeBytes { unsafe channel.send(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
      switch result {
      case .moved(let count): sent += count
      case .broken(let error):
        // What it said before it closed is still there to be read.
        while !hasEnded, waiting < bound, !deadline.hasPassed, takeIn() {}
        if !hasEnded { breakage = channel.explained(error) }
        hasEnded = true
        return false
      case .ended:
        hasEnded = true
        return false
      case .notNow, .shortOfMemory:
        if sent == bytes.count, !channel.hasUnsent { break }
        // What comes may be messages of TLS without end, which are no progress.
        let events = Int16(POLLOUT) | (waiting < bound && !hasEnded ? Int16(POLLIN) : 0)
        guard !deadline.hasPassed, poll(events, patience) else { throw silence(after: sent) }
        if waiting < bound { _ = takeIn() }
      }
    }
    return true
  }

  /// The next `count` bytes.
  func receive(_ count: Int) throws(StreamEnd) -> [UInt8] {
    while waiting < count {
      if hasEnded { throw .ended(after: waiting) }
      guard !deadline.hasPassed, poll(Int16(POLLIN), patience) else { throw silence(after: waiting) }
      _ = takeIn()
    }
    let bytes = Array(buffer[position..<(position + count)])
    position += count
    if position == buffer.count {
      buffer.removeAll(keepingCapacity: buffer.count < 1 << 20)
      position = 0
    }
    return bytes
  }

  private func silence(after count: Int) -> StreamEnd { deadline.hasPassed ? .late(after: count) : .silent(after: count) }

  /// The next `count` bytes, or as many as there are before the end or a silence.
  func rest(_ count: Int) -> [UInt8] {
    if let all = try? receive(count) { return all }
    let some = waiting
    return (try? receive(some)) ?? []
  }

  /// Whether a byte waits, or comes within `milliseconds`.
  func hasMore(within milliseconds: Int) -> Bool {
    let limit = Deadline.after(milliseconds: milliseconds)
    while waiting == 0 {
      guard !hasEnded, poll(Int16(POLLIN), until: limit) else { return false }
      if !takeIn(), limit.hasPassed { return false }
    }
    return true
  }

  /// Whether the server hangs up within `milliseconds`. Nothing is received.
  func isHungUp(within milliseconds: Int) -> Bool { poll(Self.hangup, milliseconds) }

  /// `POLLRDHUP`, which the Glibc module lacks: the peer sends nothing more. Errors and resets are always reported.
  private static let hangup: Int16 = 0x2000

  /// Nothing more is sent from here; the server sees the end.
  func endOutput() { channel.endOutput() }

  /// Nothing more is sent or received.
  func end() { channel.end() }

  /// Receives once. False where there was nothing.
  private func takeIn() -> Bool {
    if position > 1 << 20 {
      buffer.removeFirst(position)
      position = 0
    }
    isPieceFull = false
    switch piece.withUnsafeMutableBytes({ unsafe channel.receive(into: $0) }) {
    case .moved(let count):
      isPieceFull = count == piece.count
      buffer += piece[..<count]
      return true
    case .ended:
      hasEnded = true
      return false
    case .broken(let error):
      hasEnded = true
      breakage = channel.explained(error)
      return false
    case .notNow, .shortOfMemory: return false
    }
  }

  private func poll(_ events: Int16, _ milliseconds: Int) -> Bool { poll(events, until: .after(milliseconds: milliseconds)) }

  private func poll(_ events: Int16, until limit: Deadline) -> Bool {
    // What TLS has taken from the socket does not show there any more.
    if events & Int16(POLLIN) != 0, isPieceFull || channel.hasMore { return true }
    let until = min(deadline, limit)
    var entry = pollfd(fd: channel.descriptor, events: events, revents: 0)
    while true {
      let result = Glibc.poll(&entry, 1, until.pollTimeout)
      if result >= 0 || errno != EINTR { return result > 0 }
    }
  }
}
