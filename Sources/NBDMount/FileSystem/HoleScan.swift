import NBDProtocol

/// The search for the holes that ``AllocationMap`` counts, as questions to the server, one after another.
///
/// It is bounded, since nobody may ever look at the count: the map of an export may be as large as the export is, and a server
/// may have to read all of it. What was not asked about counts as data.
struct HoleScan {
  /// With answers of 4 GiB, the most where requests are not extended, enough for 1 TiB.
  static let mostQuestions = 256
  static let mostExtents = 262_144

  private let map: AllocationMap
  private let context: Int
  private let size: UInt64
  private var position: UInt64 = 0
  private var questions = 0
  private var extents = 0

  /// - Parameter size: of the file, in bytes.
  /// - Returns: nil where the server cannot be asked.
  init?(_ map: AllocationMap, size: UInt64) {
    guard let context = map.context else { return nil }
    self.map = map
    self.context = context
    self.size = size
  }

  /// What to ask the server; nil at the end.
  mutating func next() -> Operation? {
    guard position < size, questions < Self.mostQuestions, extents < Self.mostExtents else { return nil }
    questions += 1
    return Operation(.blockStatus, offset: position, length: size - position, token: Token(.mailbox, 0))
  }

  /// Notes the answer. One that says nothing is the last.
  mutating func take(_ outcome: Outcome, _ answer: [[Extent]]) {
    guard outcome.isSuccess, context < answer.count, let end = answer[context].last?.end, end > position else {
      position = size
      return
    }
    map.add(answer[context], within: position..<min(end, size))
    extents += answer[context].count
    position = end
  }
}
