import Glibc

/// One run of bytes, as gathered sends and scattered receives take it.
package typealias IOVector = iovec

/// Bytes that wait to be sent: headers in one buffer of our own, payloads where their owner keeps them.
///
/// A turn of the reactor encodes any number of requests and then sends them all with one gathered system
/// call. A header costs a copy of 28 or 32 bytes; a payload costs one vector that points at the caller's bytes. Positions are counted from the start of the connection, so that "this payload has left" is a
/// comparison of two numbers.
package struct SendQueue: ~Copyable {
  /// A run of bytes to send.
  struct Segment {
    var start: UnsafeRawPointer
    var count: Int
  }

  /// Room for headers, in bytes.
  static let capacity = 64 * 1024
  /// Most segments that wait at one time.
  static let segmentCapacity = 1024

  private let bytes: UnsafeMutableRawPointer
  private var used = 0
  private let segments: UnsafeMutablePointer<Segment>
  private var first = 0
  private var end = 0
  /// Bytes handed to ``append``, since the connection began.
  private(set) var queued: UInt64 = 0
  /// Bytes that the socket has taken, since the connection began.
  private(set) var sent: UInt64 = 0

  init() {
    bytes = .allocate(byteCount: Self.capacity, alignment: 64)
    segments = .allocate(capacity: Self.segmentCapacity)
  }

  deinit {
    bytes.deallocate()
    segments.deallocate()
  }

  package var isEmpty: Bool { first == end }

  /// Whether a header, and a payload with it, still fit.
  @inline(__always)
  var hasRoom: Bool { used + RequestHeader.extendedSize <= Self.capacity && end + 2 <= Self.segmentCapacity }

  /// Appends a request's header. Requires ``hasRoom``.
  @inline(__always)
  mutating func append(_ header: RequestHeader, extended: Bool) {
    let start = bytes + used
    appended(start, header.encode(extended: extended, to: start))
  }

  /// Appends payload, which is not copied: it must stay as it is until ``sent`` has passed it. Requires ``hasRoom``.
  @inline(__always)
  mutating func append(referring payload: UnsafeRawPointer, count: Int) {
    segments[end] = Segment(start: payload, count: count)
    end += 1
    queued += UInt64(count)
  }

  @inline(__always)
  private mutating func appended(_ start: UnsafeMutableRawPointer, _ count: Int) {
    used += count
    queued += UInt64(count)
    if end > first, segments[end - 1].start + segments[end - 1].count == UnsafeRawPointer(start) {
      segments[end - 1].count += count
    } else {
      segments[end] = Segment(start: UnsafeRawPointer(start), count: count)
      end += 1
    }
  }

  /// Forgets what is not sent.
  mutating func removeAll() {
    first = 0
    end = 0
    used = 0
    queued = sent
  }

  /// Fills `vectors` with what is to be sent next and returns how many it used.
  func fill(_ vectors: UnsafeMutableBufferPointer<IOVector>) -> Int {
    let count = min(end - first, vectors.count)
    for index in 0..<count {
      let segment = segments[first + index]
      vectors[index] = IOVector(iov_base: UnsafeMutableRawPointer(mutating: segment.start), iov_len: segment.count)
    }
    return count
  }

  /// The socket took `count` bytes from the front. Requires `count <= queued - sent`.
  mutating func advance(by count: Int) {
    sent += UInt64(count)
    var left = count
    while left > 0 {
      if left < segments[first].count {
        segments[first].start += left
        segments[first].count -= left
        break
      }
      left -= segments[first].count
      first += 1
    }
    if first == end { removeAll() }
  }
}
