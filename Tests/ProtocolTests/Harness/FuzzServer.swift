@testable import NBDProtocol

/// The server of ``fuzzReplies(_:)``: the requests that it has, what it says about them, and what follows for the client.
///
/// Its export never changes: what it holds follows from the offset, and that is what it sends, whatever offset it claims. So a
/// read that succeeds must have exactly that, or the zeros of a hole that was sent, unless ``isBroken``.
struct FuzzServer {
  struct Pending {
    var request: SeenRequest
    /// Where the data that was sent in order ends.
    var cursor: UInt64
    /// Something was said about it already.
    var isStarted = false
  }

  let export: Export
  private(set) var pending: [Pending] = []
  /// The requests that have had their last word, or an early one.
  private(set) var answered: [SeenRequest] = []
  private var wire: [UInt8] = []
  private(set) var holes: [Range<UInt64>] = []
  /// Where the client may write zeros.
  var zeroes: [Range<UInt64>] = []
  /// It has said what may be out of step or a lie: whatever the client makes of that, it cannot be compared.
  private(set) var isBroken = false
  /// It has sent an error.
  private(set) var hasFailed = false

  init(_ export: Export) { self.export = export }

  /// What the export holds: 1 to 139, never the zero of a hole, the sentinel of a buffer, or what a caller writes. The period is
  /// a prime, so that no two blocks that are near are alike.
  private static let held = FuzzPattern(first: 1, period: 139)
  /// What callers write: 0xb0 to 0xed.
  private static let written = FuzzPattern(first: 0xb0, period: 61)

  static func written(_ range: Range<UInt64>) -> [UInt8] { written.bytes(range.lowerBound, range.upperBound - range.lowerBound) }

  private static func data(_ offset: UInt64, _ length: UInt64) -> [UInt8] { held.bytes(offset, length) }

  // MARK: Bytes in and out

  /// Takes the requests that have come whole.
  mutating func take(_ reader: inout RequestReader) {
    while let request = reader.next() {
      if request.command == SeenRequest.disconnect { continue }
      guard ModelServer.check(request, export) else { return }
      if request.command == SeenRequest.write { checkWrite(request) }
      if answered.contains(where: { $0.handle == request.handle }) { continue }
      pending.append(Pending(request: request, cursor: request.offset))
    }
    // A write whose payload is on its way may be answered already.
    if let (request, _) = reader.peek(), !pending.contains(where: { $0.request.handle == request.handle }),
      !answered.contains(where: { $0.handle == request.handle })
    {
      early = request
    } else {
      early = nil
    }
    if reader.isBroken { fault("the client's stream is out of step") }
  }

  private var early: SeenRequest?

  /// At most `most` bytes of what was said and has not come yet.
  mutating func said(_ most: Int) -> [UInt8] {
    let taken = Array(wire.prefix(most))
    wire.removeFirst(taken.count)
    return taken
  }

  // MARK: Words

  enum Words: CaseIterable {
    case success, nextData, anyData, nextHole, anyHole, done, error, errorOffset, status, simple, early
    case wrongLength, wrongHandle, wrongOffset, unknownType, again, noise
  }

  mutating func say(_ input: inout FuzzInput) {
    let words = input.one(of: Words.allCases)
    let place = Int(input.byte())
    if words == .noise {
      wire += input.bytes(Int(input.byte()))
      isBroken = true
    } else if words == .early {
      guard let request = early else { return }
      early = nil
      hasFailed = true
      answered.append(request)
      wire += export.replies.failure(request, Self.error(input.byte()))
    } else if words == .again {
      guard !answered.isEmpty else { return }
      wire += export.replies.success(answered[place % answered.count])
      isBroken = true
    } else if !pending.isEmpty {
      say(words, place % pending.count, &input)
    }
  }

  private mutating func say(_ words: Words, _ index: Int, _ input: inout FuzzInput) {
    let request = pending[index].request
    let choice = input.byte()
    guard let form = export.replies.chunks else {
      return saySimple(words, index, choice, &input)
    }
    let isLast = choice & 1 == 1
    switch words {
    case .success: finish(index)
    case .nextData, .nextHole:
      let length = min(UInt64(input.byte()) * [1, 16, 512, 4096][Int(choice >> 1 & 3)], request.end &- pending[index].cursor)
      guard request.command == SeenRequest.read, length > 0 else { return }
      say(form, index, at: pending[index].cursor, length, isHole: words == .nextHole, isLast)
    case .anyData, .anyHole:
      let offset = request.offset &+ UInt64(truncatingIfNeeded: Int(Int16(bitPattern: input.pair())))
      say(form, index, at: offset, UInt64(input.byte()) * 16 + UInt64(choice >> 4), isHole: words == .anyHole, isLast)
    case .done: add(form.done(request), index, true)
    case .error:
      hasFailed = true
      let text = String(repeating: "e\u{1b}", count: Int(input.byte()))
      add(form.error(request, Self.error(choice >> 1), text, done: isLast), index, isLast)
    case .errorOffset:
      hasFailed = true
      let offset = request.offset &+ UInt64(input.byte())
      add(form.errorOffset(request, Self.error(choice >> 1), at: offset, done: isLast), index, isLast)
    case .status:
      let context = input.one(of: export.contexts.map(\.id) + [1])
      let extents = (0..<(1 + input.byte() % 8)).map { _ in (UInt64(input.byte()) << (input.byte() % 56), UInt64(input.byte() & 3)) }
      add(form.status(request, context: context, extents, done: isLast), index, isLast)
    case .simple: saySimple(words, index, choice, &input)
    case .wrongLength:
      isBroken = true
      let type = input.one(of: [0, 1, 2, 5, 6, 0x8001, 0x8002] as [UInt16])
      let length = input.one(of: [0, 1, 5, 8, 9, 12, 0xffff_ffff, UInt64.max, 1 << 63])
      wire += form.chunk(request, type, flags: UInt16(choice & 1), length: length, input.bytes(Int(input.byte())))
    case .wrongHandle:
      isBroken = true
      var other = request
      other.handle ^= 1 << UInt64(choice % 64)
      wire += form.done(other)
    case .wrongOffset:
      var other = request
      other.offset &+= 1 << UInt64(choice % 64)
      add(form.done(other), index, true)
    case .unknownType:
      let type = input.pair() | 8
      // Any type with that bit is an error.
      if type & 0x8000 != 0 { hasFailed = true }
      add(form.chunk(request, type, flags: UInt16(choice & 1), input.bytes(Int(choice >> 1))), index, isLast)
    case .early, .again, .noise: break
    }
  }

  /// What it can say without chunks; with them, that is a violation in most cases.
  private mutating func saySimple(_ words: Words, _ index: Int, _ choice: UInt8, _ input: inout FuzzInput) {
    var request = pending[index].request
    if words == .success || words == .nextData || words == .done { return finish(index) }
    let error = choice & 1 == 1 ? Self.error(choice >> 1) : 0
    if error != 0 { hasFailed = true }
    if words == .wrongHandle {
      isBroken = true
      request.handle ^= 1 << UInt64(choice % 64)
    }
    let hasData = error == 0 && request.command == SeenRequest.read
    if hasData, export.replies != .simple { isBroken = true }
    add(Reply.simple(request.handle, error: error, hasData ? Self.data(request.offset, request.length) : []), index, true)
  }

  private mutating func say(
    _ form: ChunkForm, _ index: Int, at offset: UInt64, _ length: UInt64, isHole: Bool, _ isLast: Bool
  ) {
    let request = pending[index].request
    pending[index].cursor = offset &+ length
    if isHole {
      holes.append(offset..<max(offset, offset &+ length))
      add(form.hole(request, at: offset, UInt32(truncatingIfNeeded: length), done: isLast), index, isLast)
    } else {
      add(form.data(request, at: offset, Self.data(offset, length), done: isLast), index, isLast)
    }
  }

  private mutating func add(_ bytes: [UInt8], _ index: Int, _ isLast: Bool) {
    wire += bytes
    pending[index].isStarted = true
    if isLast { answered.append(pending.remove(at: index).request) }
  }

  private static func error(_ choice: UInt8) -> UInt32 { [1, 5, 12, 22, 28, 75, 95, 108, 0xffff_ffff][Int(choice) % 9] }

  // MARK: Keeping to the protocol

  /// Answers the request that has waited longest. False when there is none.
  mutating func answerNext() -> Bool {
    guard !pending.isEmpty else { return false }
    finish(0)
    return true
  }

  /// A whole and truthful answer, or where one was begun, an error that ends it.
  private mutating func finish(_ index: Int) {
    let request = pending[index].request
    if pending[index].isStarted {
      hasFailed = true
      add(export.replies.failure(request, 5), index, true)
    } else if request.command == SeenRequest.read {
      add(export.replies.success(request, Self.data(request.offset, request.length)), index, true)
    } else if request.command == SeenRequest.blockStatus, let form = export.replies.chunks {
      let last = export.contexts.count - 1
      let chunks = export.contexts.enumerated().map { number, context in
        form.status(request, context: context.id, [(request.length, UInt64(number))], done: number == last)
      }
      add(chunks.flatMap { $0 }, index, true)
    } else {
      add(export.replies.success(request), index, true)
    }
  }

  // MARK: Checks

  func checkRead(_ ask: Ask, _ data: [UInt8]) {
    if data.count != Int(ask.length) { fault("\(ask) has \(data.count) bytes") }
    guard data != Self.held.bytes(ask.offset, ask.length) else { return }
    for (index, byte) in data.enumerated() {
      let offset = ask.offset + UInt64(index)
      if byte == Self.held[offset] || (byte == 0 && holes.contains { $0.contains(offset) }) { continue }
      return fault("\(ask) has \(byte) at \(offset), which nobody sent")
    }
  }

  /// The caller's bytes, and around them what was read.
  private func checkWrite(_ request: SeenRequest) {
    guard !isBroken, request.payload != Self.written.bytes(request.offset, request.length) else { return }
    let zeroed = holes + zeroes
    for (index, byte) in request.payload.enumerated() {
      let offset = request.offset + UInt64(index)
      if byte == Self.written[offset] || byte == Self.held[offset] { continue }
      if byte == 0, zeroed.contains(where: { $0.contains(offset) }) { continue }
      return fault("\(request) writes \(byte) at \(offset), which nobody asked for")
    }
  }
}

/// Bytes that follow from their offsets, quick to make and to compare.
private struct FuzzPattern {
  private let table: [UInt8]
  private let first: UInt8
  private let period: UInt64

  init(first: UInt8, period: UInt64) {
    self.first = first
    self.period = period
    table = (0..<(UInt64(Ask.longest) + period)).map { first + UInt8($0 % period) }
  }

  subscript(offset: UInt64) -> UInt8 { first + UInt8(offset % period) }

  /// At most as many as the longest operation has.
  func bytes(_ offset: UInt64, _ length: UInt64) -> [UInt8] {
    let start = Int(offset % period)
    return Array(table[start..<(start + Int(min(length, UInt64(Ask.longest))))])
  }
}
