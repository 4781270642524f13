import CLinux
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
/// Small payloads are copied; one that fills most of a buffer that was lent for it is kept in it, and whoever wrote it has another
/// one from then on: see ``LogBuffers``. The memory is of a fixed size, and taken from the system as it is used. Any thread may call
/// any of this.
package final class WriteLog: Sendable {
  /// An operation that was answered, or a part of one whose payload lies in several places.
  package struct Entry {
    package var command: Command
    package var flags: CommandFlags
    package var offset: UInt64
    package var length: UInt64
    /// Of a write: where its payload is.
    package var payload: UnsafeMutableRawPointer?
    /// Which buffer that is in.
    fileprivate var buffer = 0
    /// Room that is free when it is dropped.
    fileprivate var cost: Int
    /// The payload is there.
    fileprivate var isReady = true
  }

  /// Bytes that an entry takes at least, so that their number is bounded too.
  private static let smallestCost = 4096
  /// A payload above this size, in bytes, is copied without the lock.
  private static let largestLockedCopy = 64 << 10

  /// What the lock guards. Positions in the ring of entries count from the beginning: the places are those modulo the capacity.
  ///
  /// Safe to share: nothing else points to it.
  private struct State: @unchecked Sendable {
    var buffers: LogBuffers
    var first: UInt64 = 0
    var end: UInt64 = 0
    /// What was put in before that position is durable, or lost.
    var settled: UInt64 = 0
  }

  /// Bytes.
  package let capacity: Int
  private let entryCapacity: UInt64
  /// The ring of entries. An entry that is not ready, and the payload of it, is its maker's; all else is whoever's has the lock.
  private nonisolated(unsafe) let entries: UnsafeMutablePointer<Entry>
  private let state: Mutex<State>
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
    let unit = LogBuffers.size
    self.capacity = max((capacity + unit - 1) / unit * unit, unit)
    // Each operation takes the smallest cost, and the one at a buffer's end makes two entries.
    let count = 2 * (self.capacity / Self.smallestCost) + 2
    entryCapacity = UInt64(count)
    let buffers = try LogBuffers(capacity: self.capacity)
    memory = buffers.range
    state = Mutex(State(buffers: buffers))
    entries = .allocate(capacity: count)
  }

  deinit {
    state.withLock { $0.buffers.deallocate() }
    entries.deallocate()
  }

  // MARK: Operations

  /// It is recorded when it is answered; otherwise a flush has to be part of it.
  @inline(__always)
  func admits(_ length: UInt64, _ command: Command) -> Bool { command != .write || length <= UInt64(capacity / 2) }

  /// A payload that may have a whole buffer takes all of it.
  private func cost(_ length: UInt64, _ command: Command) -> Int {
    guard command == .write else { return Self.smallestCost }
    return mayBeKept(Int(length)) ? LogBuffers.size : max(Int(length), Self.smallestCost)
  }

  private func mayBeKept(_ length: Int) -> Bool { length > LogBuffers.size / 2 && length <= LogBuffers.size }

  /// A buffer for payloads of up to ``largestKept`` bytes, for as long as the log lives, with ``headroom`` bytes in front of it that
  /// are the borrower's too. Whoever writes from its start may get another one for it: ``Completion/replacement``. Nil where there is
  /// none left.
  package func lend() -> UnsafeMutableRawPointer? {
    let address = state.withLock { UInt(bitPattern: $0.buffers.lend()) }
    return UnsafeMutableRawPointer(bitPattern: address)
  }

  /// Where what is lent lies.
  package nonisolated(unsafe) let memory: Range<UnsafeMutableRawPointer>
  package static var largestKept: Int { LogBuffers.size }
  package static var headroom: Int { LogBuffers.headroom }

  /// Takes room for an operation that is to be sent. False where there is none: then a flush is on its way, after which
  /// ``takeRoomNews()`` says so.
  func reserve(_ length: UInt64, _ command: Command) -> Bool {
    let cost = cost(length, command)
    let now = used.add(cost, ordering: .relaxed).newValue
    if now > capacity / 2 { wantFlush() }
    guard now > capacity else { return true }
    used.subtract(cost, ordering: .relaxed)
    isWanting.store(true, ordering: .sequentiallyConsistent)
    // Room that came before that was seen is nobody's news.
    guard used.add(cost, ordering: .sequentiallyConsistent).newValue > capacity else { return true }
    used.subtract(cost, ordering: .sequentiallyConsistent)
    wantFlush()
    return false
  }

  /// The operation was not carried out, or nobody knows: it will be submitted again, or is not to be.
  func unreserve(_ length: UInt64, _ command: Command) { used.subtract(cost(length, command), ordering: .sequentiallyConsistent) }

  /// The operation, for which room was reserved, was answered with success. To be called before anybody learns of that.
  ///
  /// - Returns: where its buffer was lent and is kept, the one that its submitter has instead.
  func record(_ given: Operation) -> UnsafeMutableRawPointer? {
    // SAFETY: the payload is its submitter's, who waits.
    nonisolated(unsafe) let operation = given
    let count = operation.command == .write ? Int(operation.length) : 0
    guard let source = operation.buffer, count > 0 else {
      let cost = cost(operation.length, operation.command)
      state.withLock { state in add(Entry(operation, cost: cost), &state) }
      return nil
    }
    if mayBeKept(count), let other = keep(operation, source) { return other }
    // The entries are there before their payloads are, for the sake of the order.
    let isSmall = count <= Self.largestLockedCopy
    let added = state.withLock { state in
      let added = add(operation, count, isReady: isSmall, &state)
      if isSmall { copy(source, to: added) }
      return added
    }
    if isSmall { return nil }
    copy(source, to: added)
    state.withLock { state in
      for position in added { entries[place(position)].isReady = true }
      drop(&state)
    }
    return nil
  }

  private func keep(_ given: Operation, _ source: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    nonisolated(unsafe) let (operation, source) = (given, source)
    let address = state.withLock { state -> UInt? in
      guard let (kept, other) = state.buffers.keep(source) else { return nil }
      add(Entry(operation, payload: source, buffer: kept, cost: LogBuffers.size), &state)
      return UInt(bitPattern: other)
    }
    return address.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
  }

  // MARK: Flushes

  /// A flush that is sent now covers what was put in before this position.
  var position: UInt64 { state.withLock { $0.end } }

  /// A flush that covers what was put in before `position` has ended, well or not: then what it covers is lost, and whoever asks for
  /// a flush is told.
  func flushed(upTo position: UInt64) {
    state.withLock { state in
      state.settled = max(state.settled, position)
      drop(&state)
    }
    flushWanted.store(false, ordering: .relaxed)
    if used.load(ordering: .relaxed) > capacity / 2 { wantFlush() }
  }

  /// Room has come for an operation that found none.
  func takeRoomNews() -> Bool {
    isWanting.load(ordering: .sequentiallyConsistent) && isWanting.exchange(false, ordering: .sequentiallyConsistent)
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

  package var isEmpty: Bool { state.withLock { $0.first == $0.end } }

  /// Calls `body` with each entry, oldest first. Nothing may be in flight meanwhile.
  func forEach<Failure: Error>(_ body: (Entry) throws(Failure) -> Void) throws(Failure) {
    let state = state.withLock { $0 }
    for position in state.first..<state.end { try body(entries[place(position)]) }
  }

  private func place(_ position: UInt64) -> Int { Int(position % entryCapacity) }

  private func add(_ entry: Entry, _ state: inout State) {
    let isFirst = state.first == state.end
    entries[place(state.end)] = entry
    state.end += 1
    if isFirst { hasNews() }
  }

  /// Adds entries for the payload of a write, one for each place that it goes to. Returns their positions.
  private func add(_ operation: Operation, _ count: Int, isReady: Bool, _ state: inout State) -> Range<UInt64> {
    let first = state.end
    var start = 0
    var cost = cost(operation.length, operation.command)
    while start < count {
      let place = state.buffers.place(count - start)
      var entry = Entry(operation, payload: place.start, buffer: place.buffer, cost: cost)
      entry.offset += UInt64(start)
      entry.length = UInt64(place.count)
      entry.isReady = isReady
      add(entry, &state)
      start += place.count
      cost = 0
    }
    return first..<state.end
  }

  private func copy(_ payload: UnsafeMutableRawPointer, to positions: Range<UInt64>) {
    var rest = payload
    for position in positions {
      let entry = entries[place(position)]
      clinux_copy_uncached(entry.payload, rest, Int(entry.length))
      rest += Int(entry.length)
    }
  }

  private func drop(_ state: inout State) {
    while state.first < min(state.settled, state.end), entries[place(state.first)].isReady {
      let entry = entries[place(state.first)]
      if entry.payload != nil { state.buffers.drop(entry.buffer) }
      used.subtract(entry.cost, ordering: .sequentiallyConsistent)
      state.first += 1
    }
  }
}

extension WriteLog.Entry {
  fileprivate init(_ operation: Operation, payload: UnsafeMutableRawPointer? = nil, buffer: Int = 0, cost: Int) {
    self.init(
      command: operation.command, flags: operation.flags.subtracting([.fua, .fastZero]), offset: operation.offset,
      length: operation.length, payload: payload, buffer: buffer, cost: cost)
  }
}
