import CFuse3
import Glibc
import NBDProtocol
import SystemPackage

/// The memory of one reactor's requests: bounded, and taken once.
///
/// There are two kinds. *Large* buffers hold any request whole; one of them is where the next request is read to, and it stays
/// with a large write until that is answered, so that the payload is not copied; large reads use them too. All other data in
/// flight is in *pooled* buffers of its own size.
///
/// In front of each is a page of room, where the header of the answer goes. A request is read to ``DeviceWire/writeRequest``
/// bytes before its start, so that the payload of a write begins where the buffer does: the kernel then copies page to page,
/// instead of each page to the ends of two. Where there is a ``WriteLog``, large buffers are lent by it, so that it need not copy
/// large writes: it keeps the buffer and gives another one. Whose each of them is, and until when: Docs/memory.md.
struct RequestBuffers: ~Copyable {
  /// Memory that a request has in use.
  struct Buffer {
    var start: UnsafeMutableRawPointer
    /// Bytes of data that it is for, of one in the pool; 0 for a large one.
    let pooled: Int
    /// See ``RequestBuffers/disown(_:)``.
    fileprivate(set) var isDisowned = false
  }

  /// The kernel copies huge pages with less work for each page: `madvise(2)`.
  private static let hugePage = 2 << 20
  private static let page = 4096

  /// Bytes of the largest request's payload.
  let largest: Int
  /// Where the large buffers are that did not come from the pool, in place of a disowned one.
  private struct Places {
    let own: Range<UnsafeMutableRawPointer>
    let lent: Range<UnsafeMutableRawPointer>?

    func isPooled(_ start: UnsafeMutableRawPointer) -> Bool { !own.contains(start) && lent?.contains(start) != true }
  }

  /// Whose large buffers some are; it stays as long as they are used.
  private let lender: WriteLog?
  private let places: Places
  private let count: Int
  private var large: [UnsafeMutableRawPointer] = []
  private var pool: BufferPool
  /// Bytes that the pool's buffers in use may still take.
  private var pooledRoom: Int
  /// Bytes that disowned buffers may still take.
  private var disownedRoom: Int
  /// Large buffers that there are too many, since disowned ones came back.
  private var surplus = 0

  /// - Parameters:
  ///   - largest: bytes of the largest payload; rounded up to pages, and to what the kernel wants for its other requests.
  ///   - budget: bytes in flight, of each of the two kinds; raised to two of the largest requests.
  ///   - log: that lends large buffers; they are then of the size that it keeps.
  /// - Throws: ``NBDError/system(_:doing:)``: there is not so much memory.
  init(largest: Int, budget: Int, _ log: WriteLog? = nil) throws(NBDError) {
    let largest = max((largest + Self.page - 1) / Self.page * Self.page, Int(FUSE_MIN_READ_BUFFER))
    let budget = max(budget, 2 * largest)
    // One is always there to read the next request to.
    let count = min(budget / largest, RequestSlots.capacity) + 1
    lender = largest == WriteLog.largestKept && Self.page <= WriteLog.headroom ? log : nil
    while large.count < count, let start = lender?.lend() { large.append(start) }
    let stride = Self.page + largest
    let bytes = (count - large.count) * stride
    var allocated: UnsafeMutableRawPointer?
    // Not aligned_alloc, whose size has to be a multiple of the alignment.
    guard posix_memalign(&allocated, Self.hugePage, max(bytes, 1)) == 0, let memory = allocated else {
      throw .system(.noMemory, doing: "cannot have \(bytes) bytes for requests")
    }
    self.largest = largest
    self.count = count
    places = Places(own: memory..<(memory + bytes), lent: lender?.memory)
    madvise(memory, bytes, MADV_HUGEPAGE)
    for index in 0..<(count - large.count) { large.append(memory + index * stride + Self.page) }
    large.reverse()
    pool = BufferPool(limit: budget, headroom: Self.page)
    pooledRoom = budget
    disownedRoom = budget
  }

  deinit {
    for start in large where places.isPooled(start) { munmap(start - Self.page, pool.cost(largest)) }
    free(places.own.lowerBound)
  }

  /// Whatever the next request is, there is memory for it.
  var haveRoom: Bool { havePooledRoom && haveLarge }
  var havePooledRoom: Bool { pooledRoom > 0 }
  var haveLarge: Bool { !large.isEmpty }

  /// A large buffer to read a request to. Requires ``haveLarge``.
  mutating func takeLarge() -> Buffer { Buffer(start: large.removeLast(), pooled: 0) }

  /// A buffer for `length` bytes. Nil where there is no memory for it; not so for one buffer of a request that was read when
  /// there was room.
  mutating func take(_ length: Int) -> Buffer? {
    if length > largest / 2, length <= largest, !large.isEmpty { return takeLarge() }
    if let start = pool.take(length) {
      pooledRoom -= pool.cost(length)
      return Buffer(start: start, pooled: length)
    }
    return length <= largest && !large.isEmpty ? takeLarge() : nil
  }

  /// Keeps room for a buffer of `length` bytes that may be needed, or not. Returns how much, for ``unreserve(_:)``.
  @inline(__always)
  mutating func reserve(_ length: Int) -> Int {
    let cost = pool.cost(length)
    pooledRoom -= cost
    return cost
  }

  @inline(__always)
  mutating func unreserve(_ cost: Int) { pooledRoom += cost }

  mutating func give(_ buffer: Buffer) {
    if buffer.pooled == 0 {
      large.append(buffer.start)
      if buffer.isDisowned {
        disownedRoom += pool.cost(largest)
        surplus += 1
      }
      while surplus > 0, let index = large.lastIndex(where: places.isPooled) {
        pool.give(large.remove(at: index), largest)
        surplus -= 1
      }
    } else {
      let cost = pool.cost(buffer.pooled)
      if buffer.isDisowned { disownedRoom += cost } else { pooledRoom += cost }
      pool.give(buffer.start, buffer.pooled)
    }
  }

  /// The caller is gone, and the server has not answered: from here on `buffer` does not take the room of others, as far as as
  /// much memory again as the budget goes. Else a server that hangs would have no more requests read, and a process that is
  /// killed does not end before its last one is answered, the flush of its file.
  mutating func disown(_ buffer: inout Buffer) {
    let cost = pool.cost(buffer.pooled == 0 ? largest : buffer.pooled)
    guard !buffer.isDisowned, cost <= disownedRoom else { return }
    if buffer.pooled == 0 {
      guard let other = pool.take(largest) else { return }
      large.append(other)
    } else {
      pooledRoom += cost
    }
    disownedRoom -= cost
    buffer.isDisowned = true
  }

  /// Whether a write of `length` bytes should keep the large buffer that it was read to, rather than be copied to one of
  /// its own size. Small ones may take half of them.
  func shouldKeep(_ length: Int) -> Bool { length > largest / 2 || large.count > count / 2 }
}
