import CGnuTLS
import Glibc
import SystemPackage

/// Data through a session, in the manner of ``Channel``.
///
/// What was taken to be encrypted counts as sent: nobody can take it back. When the socket does not take all of it, ``hasUnsent``
/// says so.
extension TLSSession {
  /// Something waits for room in the socket, or an end is still to be told.
  var hasUnsent: Bool { stream.pointee.hasUnsent || stream.pointee.failure != nil && end == nil && sendEnd == nil }

  /// There is more to be received, or to be learned, without anything that epoll would tell of.
  var hasMore: Bool { if let end { !end.isTold } else { stream.pointee.hasInput } }

  /// Encrypts as much of `vectors`, in order, as there is room for, and sends what the socket takes.
  func send(_ vectors: UnsafeMutablePointer<IOVector>?, count: Int) -> Channel.Result {
    if let end { return told(end) }
    if let sendEnd { return sendEnd.result }
    var moved = 0
    if let vectors {
      var pieces = Pieces(vectors, count)
      while sendEnd == nil, stream.pointee.hasRoom, let piece = pieces.next(most: recordSize, staging) {
        moved += encrypt(piece)
        if !stream.pointee.hasRoom { stream.pointee.flush() }
      }
    }
    stream.pointee.flush()
    // After some bytes were taken, the failure is for the next call: they may have reached the server.
    if moved > 0 { return .moved(moved) }
    if sendEnd == nil, let error = stream.pointee.failure { sendEnd = End(result: .broken(error), reason: "\(error)") }
    if let sendEnd { return sendEnd.result }
    return takeShortage() ? .shortOfMemory : .notNow
  }

  /// One piece of data, for which there is room. Returns how much of it was taken: all, unless the session is over.
  private func encrypt(_ piece: UnsafeRawBufferPointer) -> Int {
    var taken = 0
    while taken < piece.count, let base = piece.baseAddress {
      let count = gnutls_record_send(session, base + taken, piece.count - taken)
      guard count > 0 else {
        sendEnd = End(result: .broken(.protocolError), reason: Self.reason(Int32(truncatingIfNeeded: count), session))
        break
      }
      taken += count
    }
    return taken
  }

  /// Decrypts what has come into `vectors`, in order. As with a socket, less than there is room for means that there is no more.
  func receive(_ vectors: UnsafeMutablePointer<IOVector>, count: Int) -> Channel.Result {
    if let end { return end.isTold ? afterwards(end) : told(end) }
    stream.pointee.isDry = false
    var moved = 0
    var idle = 0
    outer: for index in 0..<count {
      var place = 0
      while place < vectors[index].iov_len, let base = vectors[index].iov_base {
        let count = gnutls_record_recv(session, base + place, vectors[index].iov_len - place)
        if count > 0 {
          place += count
          moved += count
          idle = 0
          continue
        }
        if !goesOn(after: Int32(truncatingIfNeeded: count), &idle) { break outer }
      }
    }
    if moved > 0 { return .moved(moved) }
    if let end { return told(end) }
    return takeShortage() ? .shortOfMemory : .notNow
  }

  /// Whether to ask again at once. It is not only a lack of bytes that GnuTLS calls `AGAIN`, but also a message of TLS's own.
  private func goesOn(after code: Int32, _ idle: inout Int) -> Bool {
    switch code {
    case 0:
      end = End(result: .ended, reason: "the server closed the connection")
      return false
    case GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED, GNUTLS_E_WARNING_ALERT_RECEIVED:
      if stream.pointee.isDry || stream.pointee.isShortOfMemory { return false }
      idle += 1
      if idle < Self.idleMessages { return true }
      end = End(result: .broken(.protocolError), reason: "the server sends messages of TLS and no data")
    case GNUTLS_E_PREMATURE_TERMINATION where stream.pointee.isAtEnd:
      // Cut off, by the server or by somebody between.
      end = End(result: .broken(.connectionReset), reason: "it was closed without the end of TLS")
    case GNUTLS_E_PULL_ERROR:
      let error = stream.pointee.failure ?? .ioError
      end = End(result: .broken(error), reason: "\(error)")
    default:
      _ = gnutls_alert_send_appropriate(session, code)
      stream.pointee.flush()
      end = End(result: .broken(.protocolError), reason: Self.reason(code, session))
    }
    return false
  }

  /// Says that nothing more is sent, as far as there is room for that.
  func endOutput() {
    if end == nil, sendEnd == nil { _ = gnutls_bye(session, GNUTLS_SHUT_WR) }
    stream.pointee.flush()
  }

  /// In words: why it ended.
  var reason: String? { (end ?? sendEnd)?.reason }

  private func told(_ end: End) -> Channel.Result {
    self.end?.isTold = true
    return end.result
  }

  /// What comes after the end is thrown away: that the server has closed the connection is still news then.
  private func afterwards(_ end: End) -> Channel.Result {
    if case .ended = end.result { .ended } else { stream.pointee.discard() }
  }

  private func takeShortage() -> Bool {
    defer { stream.pointee.isShortOfMemory = false }
    return stream.pointee.isShortOfMemory
  }
}

/// Vectors as pieces of data of at most a record: large ones where they are, small ones together in one.
private struct Pieces {
  private let vectors: UnsafeMutablePointer<IOVector>
  private let count: Int
  private var index = 0
  private var place = 0

  init(_ vectors: UnsafeMutablePointer<IOVector>, _ count: Int) {
    self.vectors = vectors
    self.count = count
  }

  /// - Parameter staging: room for `most` bytes.
  mutating func next(most: Int, _ staging: UnsafeMutableRawPointer) -> UnsafeRawBufferPointer? {
    var staged = 0
    while staged < most, let rest {
      if staged == 0, rest.count >= most || index == count - 1 {
        let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(most))
        place += piece.count
        return piece
      }
      let share = min(rest.count, most - staged)
      if let base = rest.baseAddress { memcpy(staging + staged, base, share) }
      staged += share
      place += share
    }
    return staged > 0 ? UnsafeRawBufferPointer(start: staging, count: staged) : nil
  }

  /// What is left of the vector whose turn it is.
  private var rest: UnsafeRawBufferPointer? {
    mutating get {
      while index < count, place == vectors[index].iov_len {
        index += 1
        place = 0
      }
      guard index < count, let base = vectors[index].iov_base else { return nil }
      return UnsafeRawBufferPointer(start: base + place, count: vectors[index].iov_len - place)
    }
  }
}
