import Synchronization

/// What was written and is not yet known to be durable, and what may have been lost.
///
/// A server may answer a second flush with success although the first one lost the data: then that success would be a lie
/// to whoever calls fsync again. So what a failed flush should have covered is *lost*, and every fsync fails, until all of it
/// has been written again and a flush after that has succeeded.
///
/// Ranges are kept as bits, one for each granule, so that noting a write costs an `or`. A lost granule counts as written
/// again only when one write covers all of it.
final class WriteTracker: Sendable {
  /// Most granules: 8 Mi bits are 1 MiB of memory.
  private static let mostGranules: UInt64 = 1 << 23
  /// Smallest granule in bytes: the page, in which the kernel's cache writes.
  private static let smallestGranule: UInt64 = 4096

  private let shift: UInt64
  private let size: UInt64
  /// Written since the last flush began.
  private let dirty: BitMap
  private let hasDirty = Atomic<Bool>(false)
  private let runningFlushes = Atomic<Int>(0)
  /// What the flushes under way cover.
  private let flushes = Mutex(Flushes())
  /// By index of the word in the bit map; empty where nothing is lost.
  private let lost = Mutex<[Int: UInt64]>([:])
  private let hasLost = Atomic<Bool>(false)

  private struct Flushes {
    var last = 0
    var covers: [Int: [(index: Int, bits: UInt64)]] = [:]
  }

  /// - Parameter size: of the export, in bytes.
  init(size: UInt64) {
    self.size = size
    var shift = UInt64(Self.smallestGranule.trailingZeroBitCount)
    while size >> shift >= Self.mostGranules { shift += 1 }
    self.shift = shift
    dirty = BitMap(count: Int(size >> shift) + 1)
  }

  /// A write was answered with success and is not durable yet. To be called before the writer is told.
  func wrote(_ offset: UInt64, _ length: UInt64) {
    guard length > 0 else { return }
    dirty.insert(Int(offset >> shift), through: Int((offset + length - 1) >> shift))
    // After the bits: whoever clears the flag takes the bits afterwards.
    if !hasDirty.load(ordering: .sequentiallyConsistent) { hasDirty.store(true, ordering: .sequentiallyConsistent) }
    if hasLost.load(ordering: .sequentiallyConsistent) { rewrote(offset, offset + length) }
  }

  /// Whether an fsync has anything to do or to report. A flush that is under way does not count as done.
  var needsFlush: Bool {
    hasDirty.load(ordering: .sequentiallyConsistent) || hasLost.load(ordering: .sequentiallyConsistent)
      || runningFlushes.load(ordering: .sequentiallyConsistent) > 0
  }

  /// A flush under way, by number: trivial, so that requests are passed around without reference counting.
  struct Flush {
    fileprivate var number: Int
  }

  /// To be called right before a flush is sent.
  func beginFlush() -> Flush {
    runningFlushes.add(1, ordering: .sequentiallyConsistent)
    hasDirty.store(false, ordering: .sequentiallyConsistent)
    let words = dirty.takeAll()
    return flushes.withLock { flushes in
      flushes.last += 1
      flushes.covers[flushes.last] = words
      return Flush(number: flushes.last)
    }
  }

  /// The flush has ended. Returns whether everything written before it is durable.
  func endFlush(_ flush: Flush, succeeded: Bool) -> Bool {
    let words = flushes.withLock { $0.covers.removeValue(forKey: flush.number) } ?? []
    let isNothingLost = lost.withLock { lost in
      if !succeeded {
        for word in words { lost[word.index, default: 0] |= word.bits }
      }
      hasLost.store(!lost.isEmpty, ordering: .sequentiallyConsistent)
      return lost.isEmpty
    }
    runningFlushes.subtract(1, ordering: .sequentiallyConsistent)
    return succeeded && isNothingLost
  }

  /// Lost granules that lie wholly in the written range are not lost any more: they are dirty again, for the next
  /// flush to cover.
  private func rewrote(_ start: UInt64, _ end: UInt64) {
    let granule: UInt64 = 1 << shift
    let first = (start + granule - 1) >> shift
    // The last granule of the export may be a part of one.
    let last = end >= size ? (end + granule - 1) >> shift : end >> shift
    guard first < last else { return }
    lost.withLock { lost in
      for (index, bits) in lost {
        var kept = bits
        for bit in 0..<64 {
          let number = UInt64(index * 64 + bit)
          if number >= first, number < last { kept &= ~(1 << UInt64(bit)) }
        }
        lost[index] = kept == 0 ? nil : kept
      }
      hasLost.store(!lost.isEmpty, ordering: .sequentiallyConsistent)
    }
  }
}
