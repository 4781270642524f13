@testable import NBDProtocol

/// What was asked and answered, by cell, and what a read may therefore see.
///
/// A read may see a write that was not over when the read began, or the last one that was; no other. Of two that were under way at
/// the same time either may be the last. What a write that has failed has done is not known, but it does nothing after that. A
/// write that was answered with success is *firm*: what is older is not seen again, unless
///
/// - the server has lost it, and was not asked to keep it: by a crash, where there is no log, of which nobody learns, or because a
///   flush has failed, of which the next flush tells;
/// - what is older was sent again with the log, and the server has then refused it, of which the next flush tells;
/// - a flush has failed whose answer was lost with its connection, and has succeeded when it was sent again; or
/// - nobody will ever know, because there will be no connection any more.
struct SimulatedHistory {
  struct Write {
    /// What the cells hold then: see ``SimulatedHistory/contents(of:)``.
    var value: UInt32
    var begin: UInt64
    var end = UInt64.max
    var isSuccess = false
    /// It has asked for durability.
    var isDurable: Bool
    /// It was never sent.
    var isDropped = false
  }

  private struct Loss {
    var time: UInt64
    /// No flush will tell.
    var isSilent = false
    /// What was durable may be gone too.
    var isOfAll = false
  }

  private struct Flush {
    var begin: UInt64
    var end: UInt64
    var isSuccess: Bool
  }

  static let initial: UInt32 = 1
  private(set) var writes: [Write] = [Write(value: initial, begin: 0, end: 1, isSuccess: true, isDurable: true)]
  private var cells: [[Int]] = Array(repeating: [0], count: SimulationPlan.cells)
  private var flushes: [Flush] = []
  private var losses: [Loss] = []

  /// The bytes of a cell that holds `value`; 0 for zeros.
  static func contents(of value: UInt32) -> [UInt8] {
    (0..<SimulationPlan.cellSize).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * (3 - $0 % 4))) }
  }

  /// The value of a cell; nil where it holds no one's bytes.
  static func value(of bytes: some RandomAccessCollection<UInt8>) -> UInt32? {
    let value = bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    var word = 0
    for byte in bytes {
      if byte != UInt8(truncatingIfNeeded: value >> UInt32(8 * (3 - word % 4))) { return nil }
      word += 1
    }
    return value
  }

  // MARK: What happens

  mutating func begin(_ value: UInt32, _ range: Range<Int>, isDurable: Bool, at time: UInt64) -> Int {
    writes.append(Write(value: value, begin: time, isDurable: isDurable))
    for cell in range { cells[cell].append(writes.count - 1) }
    return writes.count - 1
  }

  mutating func end(_ write: Int, _ outcome: Outcome, at time: UInt64) {
    switch outcome {
    case .success:
      writes[write].end = time
      writes[write].isSuccess = true
    case .failed: writes[write].end = time
    case .abandoned: writes[write].isDropped = true
    // It may be carried out yet.
    case .connectionLost: break
    }
  }

  /// - Parameter isAsked: by a caller, who learns what was lost; otherwise on our own account.
  mutating func flushed(from begin: UInt64, to end: UInt64, isSuccess: Bool, isAsked: Bool) {
    if isAsked { flushes.append(Flush(begin: begin, end: end, isSuccess: isSuccess)) }
    guard isSuccess else { return }
    // It has failed before, and the answer was lost with its connection: nobody will know.
    for index in losses.indices where losses[index].time > begin { losses[index].isSilent = true }
  }

  /// What the server has answered, and was not asked to keep, may be gone.
  ///
  /// - Parameters:
  ///   - isSilent: no flush will tell.
  ///   - isOfAll: what was durable may be gone too.
  mutating func lose(at time: UInt64, isSilent: Bool = false, isOfAll: Bool = false) {
    losses.append(Loss(time: time, isSilent: isSilent, isOfAll: isOfAll))
  }

  // MARK: What may be seen

  /// What is wrong about a read that lasted from `begin` to `end` and found `value` in a cell; nil where nothing is.
  func fault(_ cell: Int, _ value: UInt32?, from begin: UInt64, to end: UInt64) -> String? {
    guard let value else { return "cell \(cell) holds parts of several writes" }
    var newer: Write?
    var isKnown = false
    for index in cells[cell] {
      let write = writes[index]
      guard write.value == value, write.begin < end, !write.isDropped else { continue }
      isKnown = true
      newer = cells[cell].lazy.map { writes[$0] }.first { later in
        later.isSuccess && later.begin > write.end && later.end < begin && isFirm(later, from: begin, to: end)
      }
      if newer == nil { return nil }
    }
    guard isKnown, let newer else { return "cell \(cell) holds \(value), which nobody has written there" }
    return "cell \(cell) holds \(value), though \(newer.value) was written after it and answered"
  }

  private func isFirm(_ write: Write, from begin: UInt64, to end: UInt64) -> Bool {
    if !losses.contains(where: { $0.time > write.begin && $0.time < end && ($0.isOfAll || !write.isDurable) }) { return true }
    return flushes.contains { flush in
      flush.isSuccess && flush.begin > write.end && flush.end < begin
        && !flushes.contains { !$0.isSuccess && $0.end > write.begin && $0.end <= flush.end }
        && !losses.contains { $0.isSilent && $0.time > write.begin && $0.time < flush.end }
    }
  }
}
