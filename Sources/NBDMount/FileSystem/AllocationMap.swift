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
  /// Bytes that were found to be holes.
  private let holes = Atomic<UInt64>(0)

  init(_ export: Export) {
    context = export.contexts.firstIndex { $0.name == MetadataContext.baseAllocation }
    size = export.size
  }

  /// Bytes of the file that take space, as far as known; at least one where the file has any.
  var allocated: UInt64 {
    let found = min(holes.load(ordering: .relaxed), size)
    return max(size - found, min(size, 512))
  }

  /// Only what reads as zeros is a hole to a file: `NBD_STATE_HOLE` alone says nothing about the contents.
  static func isHole(_ extent: Extent) -> Bool {
    AllocationFlags(rawValue: extent.status).contains(.zero)
  }

  /// Notes the extents of a part of the export that was not noted before.
  func add(_ extents: [Extent]) {
    var found: UInt64 = 0
    for extent in extents where Self.isHole(extent) { found += extent.length }
    holes.add(found, ordering: .relaxed)
  }

  /// Data was written: as much less may be holes now.
  func wrote(_ length: UInt64) {
    var current = holes.load(ordering: .relaxed)
    while current > 0 {
      let (exchanged, original) = holes.weakCompareExchange(
        expected: current, desired: current - min(current, length), ordering: .relaxed)
      if exchanged { return }
      current = original
    }
  }
}
