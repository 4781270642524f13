/// Byte ranges of an export that are in doubt: something that was sent may still change them, and nobody knows when.
///
///     held     |.....########.......####.....|
///     write A      |xxxx|                          waits
///     write B               |xxxx|                 goes
///
/// Few are held at any time, and most of the time none, so that an array and a search of all of it do.
struct HeldRanges {
  /// Ranges that were held together, by number; good for one ``release(_:)``.
  struct Hold: Hashable, Sendable {
    fileprivate var number: UInt64
  }

  /// The server's minimum block in bytes, a power of two: a write of a part of a block changes all of it.
  private let block: UInt64
  private var held: [(range: Range<UInt64>, number: UInt64, isOfConnection: Bool)] = []
  private var last: UInt64 = 0

  /// - Parameter minimumBlock: of ``BlockSizes``; 0 counts as 1.
  init(minimumBlock: UInt32) { block = UInt64(max(minimumBlock, 1)) }

  var isEmpty: Bool { held.isEmpty }

  /// Holds `ranges`, each widened to whole blocks. They may overlap each other and what is held already.
  ///
  /// - Parameter isOfConnection: because of what a connection has sent; otherwise because a caller has gone.
  mutating func hold(_ ranges: some Sequence<Range<UInt64>>, isOfConnection: Bool = false) -> Hold {
    last += 1
    for range in ranges where !range.isEmpty { held.append((widened(range), last, isOfConnection)) }
    return Hold(number: last)
  }

  /// Lets go of what `hold` stands for. The second time it does nothing.
  mutating func release(_ hold: Hold) { held.removeAll { $0.number == hold.number } }

  /// Whether anything of `hold` was not let go of yet.
  func contains(_ hold: Hold) -> Bool { held.contains { $0.number == hold.number } }

  /// Whether `range`, widened to whole blocks, touches a byte that is held, or only one that is because of a connection.
  func blocks(_ range: Range<UInt64>, ofConnections: Bool = false) -> Bool {
    let range = widened(range)
    return held.contains { $0.range.overlaps(range) && ($0.isOfConnection || !ofConnections) }
  }

  /// The blocks that `range` touches; no more than fit 64 bits.
  private func widened(_ range: Range<UInt64>) -> Range<UInt64> {
    guard !range.isEmpty else { return range }
    let (sum, overflow) = range.upperBound.addingReportingOverflow(block - 1)
    return (range.lowerBound & ~(block - 1))..<(overflow ? UInt64.max : sum & ~(block - 1))
  }
}
