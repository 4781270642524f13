/// Bytes that came and are not parsed yet.
///
/// One fixed buffer for a connection. Small replies are parsed, and answered, where they lie; only a
/// message cut by the end of the buffer is moved, and only once.
struct ReceiveBuffer: ~Copyable {
  /// In bytes: enough for a batch of small replies, and for any message that must be parsed in one piece.
  static let capacity = 256 * 1024

  private let base: UnsafeMutableRawPointer
  private var head = 0
  private var tail = 0

  init() {
    base = .allocate(byteCount: Self.capacity, alignment: 64)
  }

  deinit { base.deallocate() }

  @inline(__always)
  var count: Int { tail - head }

  /// The unparsed bytes.
  @inline(__always)
  var start: UnsafeMutableRawPointer { base + head }

  /// The unparsed bytes from `offset` on, which must not be beyond them, as the decoders take them; valid until the buffer
  /// changes.
  @inline(__always)
  func decode<Result>(from offset: Int = 0, _ body: (RawSpan) -> Result) -> Result {
    body(UnsafeRawBufferPointer(start: base + head + offset, count: count - offset).bytes)
  }

  @inline(__always)
  mutating func consume(_ count: Int) {
    head += count
    if head == tail {
      head = 0
      tail = 0
    }
  }

  /// Where the next bytes go; at least `capacity - count` bytes.
  @inline(__always)
  mutating func space() -> UnsafeMutableRawBufferPointer {
    if head > 0 {
      // What is left is part of one message, so this moves little.
      base.copyMemory(from: base + head, byteCount: count)
      tail -= head
      head = 0
    }
    return UnsafeMutableRawBufferPointer(start: base + tail, count: Self.capacity - tail)
  }

  @inline(__always)
  mutating func received(_ count: Int) { tail += count }
}
