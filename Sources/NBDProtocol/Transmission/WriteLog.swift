import Glibc
import Synchronization

/// What was written and answered, and is not known to be durable: to be sent again to a server that comes back without it.
///
///     submitted ──> room is reserved ──> answered ──> recorded ── a flush succeeds ──> dropped
///
/// A server may keep what it has answered in a volatile cache, and lose it when it is killed. So every mutating operation that
/// was answered is recorded here, in the order of the answers, until a flush that was sent after its answer has succeeded. What
/// was answered before another operation was submitted comes before it, so that sending all again in this order ends where the
/// export was. (Of two that overlap and were under way at the same time, either may be the last.)
///
/// It never overflows: room is taken before an operation is sent, and where there is none, it waits for a flush, as a disk's own
/// cache makes writers wait. ``LogKeeper`` sends that flush, at half full or after some seconds. An operation that is larger than
/// half of the log is not recorded: a flush is then part of it.
///
/// The memory is a ring of payloads and a ring of entries, of a fixed size, taken from the system as it is used. Any thread may
/// call any of this.
package final class WriteLog: Sendable {
  /// An operation that was answered, or a part of one whose payload goes around the ring's end.
  package struct Entry {
    package var command: Command
    package var flags: CommandFlags
    package var offset: UInt64
    package var length: UInt64
    /// Of a write: where its payload is.
    package var payload: UnsafeMutableRawPointer?
    /// Room that is free when it is dropped.
    fileprivate var cost: Int
    /// The payload is there.
    fileprivate var isReady: Bool
  }

  /// Bytes that an entry takes at least, so that their number is bounded too.
  private static let smallestCost = 4096
  /// A payload above this size, in bytes, is copied without the lock.
  private static let largestLockedCopy = 64 << 10

  /// The two rings. Positions count from the beginning: the places are those modulo the capacity.
  ///
  /// Safe to share: the memory behind it is written by whoever has the lock, or by the one that has made an entry that is not ready.
  private struct Rings: @unchecked Sendable {
    let bytes: UnsafeMutableRawPointer
    let entries: UnsafeMutablePointer<Entry>
    /// Bytes of payload that were ever put in.
    var endByte = 0
    var first: UInt64 = 0
    var end: UInt64 = 0
    /// What was put in before that position is durable, or lost.
    var settled: UInt64 = 0
  }

  /// Bytes.
  package let capacity: Int
  private let entryCapacity: UInt64
  private let rings: Mutex<Rings>
  private let used = Atomic<Int>(0)
  private let isWanting = Atomic<Bool>(false)
  private let hasFailed = Atomic<Bool>(false)
  private let flushWanted = Atomic<Bool>(false)
  private let hasNews: @Sendable () -> Void

  /// - Parameters:
  ///   - capacity: bytes; rounded up to 1 MiB.
  ///   - hasNews: called when the first entry comes in, and when a flush is wanted; it must not wait.
  /// - Throws: ``NBDError/system(_:doing:)``: there is not so much memory.
  package init(capacity: Int, hasNews: @escaping @Sendable () -> Void = {}) throws(NBDError) {
    self.hasNews = hasNews
    let capacity = max(((capacity + (1 << 20) - 1) >> 20) << 20, 1 << 20)
    // Each operation takes the smallest cost, and the one at the ring's end makes two entries.
    let count = 2 * (capacity / Self.smallestCost) + 2
    let size = capacity + count * MemoryLayout<Entry>.stride
    guard let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      memory != MAP_FAILED
    else { throw .system(.noMemory, doing: "cannot have \(capacity) bytes for the write log") }
    self.capacity = capacity
    entryCapacity = UInt64(count)
    let rings = Rings(
      bytes: memory, entries: (memory + capacity).bindMemory(to: Entry.self, capacity: count))
    self.rings = Mutex(rings)
  }

  deinit {
    let size = capacity + Int(entryCapacity) * MemoryLayout<Entry>.stride
    rings.withLock { _ = munmap($0.bytes, size) }
  }

  // MARK: Operations

  /// It is recorded when it is answered; otherwise a flush has to be part of it.
  @inline(__always)
  func admits(_ length: UInt64, _ command: Command) -> Bool { command != .write || length <= UInt64(capacity / 2) }

  private func cost(_ length: UInt64, _ command: Command) -> Int {
    command == .write ? max(Int(length), Self.smallestCost) : Self.smallestCost
  }

  /// Takes room for an operation that is to be sent. False where there is none: then a flush is on its way, after which
  /// ``takeRoomNews()`` says so.
  func reserve(_ length: UInt64, _ command: Command) -> Bool {
    let cost = cost(length, command)
    let now = used.add(cost, ordering: .relaxed).newValue
    if now > capacity / 2 { wantFlush() }
    guard now > capacity else { return true }
    used.subtract(cost, ordering: .relaxed)
    isWanting.store(true, ordering: .sequentiallyConsistent)
    wantFlush()
    return false
  }

  /// The operation was not carried out, or nobody knows: it will be submitted again, or is not to be.
  func unreserve(_ length: UInt64, _ command: Command) { used.subtract(cost(length, command), ordering: .relaxed) }

  /// The operation, for which room was reserved, was answered with success. To be called before anybody learns of that.
  func record(_ given: Operation) {
    // SAFETY: the payload is its submitter's, who waits.
    nonisolated(unsafe) let operation = given
    let count = operation.command == .write ? Int(operation.length) : 0
    guard let source = operation.buffer, count > 0 else {
      let cost = cost(operation.length, operation.command)
      return rings.withLock { rings in
        add(operation, 0, operation.length, nil, cost: cost, isReady: true, &rings)
      }
    }
    guard count > Self.largestLockedCopy else {
      return rings.withLock { rings in
        for piece in allot(operation, count, isReady: true, &rings) where piece.count > 0 {
          piece.place.copyMemory(from: source + piece.start, byteCount: piece.count)
        }
      }
    }
    let (pieces, last) = rings.withLock { rings in (allot(operation, count, isReady: false, &rings), rings.end) }
    for piece in pieces where piece.count > 0 {
      piece.place.copyMemory(from: source + piece.start, byteCount: piece.count)
    }
    rings.withLock { rings in
      for position in (last - UInt64(pieces.used))..<last { rings.entries[place(position)].isReady = true }
      drop(&rings)
    }
  }

  // MARK: Flushes

  /// A flush that is sent now covers what was put in before this position.
  var position: UInt64 { rings.withLock { $0.end } }

  /// A flush that covers what was put in before `position` has ended, well or not: then what it covers is lost, and whoever asks for
  /// a flush is told.
  func flushed(upTo position: UInt64) {
    rings.withLock { rings in
      rings.settled = max(rings.settled, position)
      drop(&rings)
    }
    flushWanted.store(false, ordering: .relaxed)
    if used.load(ordering: .relaxed) > capacity / 2 { wantFlush() }
  }

  /// Room has come for an operation that found none.
  func takeRoomNews() -> Bool {
    isWanting.load(ordering: .relaxed) && isWanting.exchange(false, ordering: .sequentiallyConsistent)
  }

  /// Something that was recorded is lost, without anybody having been told. The next flush is to fail.
  func lose() { hasFailed.store(true, ordering: .releasing) }

  /// Whether something was lost, once.
  func takeLoss() -> Bool { hasFailed.load(ordering: .relaxed) && hasFailed.exchange(false, ordering: .acquiring) }

  private func wantFlush() {
    guard !flushWanted.exchange(true, ordering: .relaxed) else { return }
    hasNews()
  }

  /// A flush is worth sending at once.
  var wantsFlush: Bool { flushWanted.load(ordering: .relaxed) }

  // MARK: Entries

  package var isEmpty: Bool { rings.withLock { $0.first == $0.end } }

  /// Calls `body` with each entry, oldest first. Nothing may be in flight meanwhile.
  func forEach<Failure: Error>(_ body: (Entry) throws(Failure) -> Void) throws(Failure) {
    let rings = rings.withLock { $0 }
    for position in rings.first..<rings.end { try body(rings.entries[place(position)]) }
  }

  private func place(_ position: UInt64) -> Int { Int(position % entryCapacity) }

  private func add(
    _ operation: Operation, _ start: Int, _ length: UInt64, _ payload: UnsafeMutableRawPointer?, cost: Int, isReady: Bool,
    _ rings: inout Rings
  ) {
    let isFirst = rings.first == rings.end
    rings.entries[place(rings.end)] = Entry(
      command: operation.command, flags: operation.flags.subtracting([.fua, .fastZero]), offset: operation.offset + UInt64(start),
      length: length, payload: payload, cost: cost, isReady: isReady)
    rings.end += 1
    if isFirst { hasNews() }
  }

  /// Up to two places, because a payload may go around the ring's end.
  private func allot(_ operation: Operation, _ count: Int, isReady: Bool, _ rings: inout Rings) -> Pieces {
    var pieces = Pieces()
    var start = 0
    var cost = cost(operation.length, operation.command)
    while start < count {
      let at = rings.endByte % capacity
      let length = min(count - start, capacity - at)
      let place = rings.bytes + at
      add(operation, start, UInt64(length), place, cost: cost, isReady: isReady, &rings)
      pieces.append(Piece(place: place, start: start, count: length))
      rings.endByte += length
      start += length
      cost = 0
    }
    return pieces
  }

  private func drop(_ rings: inout Rings) {
    while rings.first < min(rings.settled, rings.end), rings.entries[place(rings.first)].isReady {
      used.subtract(rings.entries[place(rings.first)].cost, ordering: .relaxed)
      rings.first += 1
    }
  }
}

/// A part of a payload: from `start` of it, at `place` in the ring, where only its maker writes.
private struct Piece: @unchecked Sendable {
  var place: UnsafeMutableRawPointer
  var start: Int
  var count: Int
}

/// One or two of them, without an allocation.
private struct Pieces: Sequence, IteratorProtocol, Sendable {
  private var first: Piece?
  private var second: Piece?
  private(set) var used = 0

  mutating func append(_ piece: Piece) {
    if used == 0 { first = piece } else { second = piece }
    used += 1
  }

  mutating func next() -> Piece? {
    defer { (first, second) = (second, nil) }
    return first
  }
}
