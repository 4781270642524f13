import NBDProtocol
import Synchronization

/// How much of the export takes space, for `st_blocks`.
///
/// Tools decide by `st_blocks` whether a file is sparse: GNU cp and tar look for holes only where it is smaller than the size,
/// and tar takes a file with no blocks at all for one hole. So the figure must never be too small. What is not known counts as
/// allocated.
final class AllocationMap: Sendable {
  /// The place of `base:allocation` among the export's contexts; nil where it was not negotiated.
  let context: Int?
  private let size: UInt64
  /// Bytes that were found to be holes, less all bytes that were written; below zero where data was written over. Sums, so
  /// that it does not matter which of a finding and a write is noted first.
  private let holes = Atomic<Int64>(0)

  /// - Parameter size: of the file, in bytes.
  init(_ export: Export, size: UInt64) {
    context = export.contexts.firstIndex { $0.name == MetadataContext.baseAllocation }
    self.size = size
  }

  /// Bytes of the file that take space, as far as known; at least one block where the file has any.
  var allocated: UInt64 {
    let found = min(UInt64(max(holes.load(ordering: .relaxed), 0)), size)
    return max(size - found, min(size, 512))
  }

  /// Only what reads as zeros is a hole to a file: `NBD_STATE_HOLE` alone says nothing about the contents.
  static func isHole(_ extent: Extent) -> Bool {
    AllocationFlags(rawValue: extent.status).contains(.zero)
  }

  /// Notes the extents of `range`, which was not noted before. What they say beyond it does not count.
  func add(_ extents: [Extent], within range: Range<UInt64>) {
    var found: UInt64 = 0
    for extent in extents where Self.isHole(extent) {
      let inside = (extent.offset..<extent.end).clamped(to: range)
      found += inside.upperBound - inside.lowerBound
    }
    holes.wrappingAdd(Int64(found), ordering: .relaxed)
  }

  /// Data was written: as much less may be holes now.
  func wrote(_ length: UInt64) {
    guard context != nil else { return }
    holes.wrappingSubtract(Int64(truncatingIfNeeded: length), ordering: .relaxed)
  }
}
