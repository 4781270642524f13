import Synchronization

/// A set of small numbers that threads add to without a lock, and that is taken as a whole.
///
/// Two levels: a bit of the summary says that one of 64 words may have bits, so that taking an almost empty set does
/// not look at every word.
final class BitMap: Sendable {
  private let words: UnsafeSharedWords
  private let summary: UnsafeSharedWords

  /// A set of numbers from 0 to `count` - 1.
  init(count: Int) {
    words = UnsafeSharedWords(count: max(1, (count + 63) / 64))
    summary = UnsafeSharedWords(count: (words.count + 4095) / 4096)
  }

  var wordCount: Int { words.count }

  /// Adds the numbers from `first` to `last`. Any thread.
  func insert(_ first: Int, through last: Int) {
    for index in (first / 64)...(last / 64) {
      let low = index == first / 64 ? UInt64.max << UInt64(first % 64) : .max
      let high = index == last / 64 ? UInt64.max >> UInt64(63 - last % 64) : .max
      words.or(index, low & high)
      summary.or(index / 4096, 1 << UInt64(index / 64 % 64))
    }
  }

  /// Empties the set and returns what it held, as words of 64 numbers that are not zero. Any thread. A number that is
  /// added at the same time is either returned or stays.
  func takeAll() -> [(index: Int, bits: UInt64)] {
    var taken: [(index: Int, bits: UInt64)] = []
    for group in 0..<summary.count {
      // The summary first: a bit that is set again in between only costs a look at the next taking.
      var groups = summary.exchangeZero(group)
      while groups != 0 {
        let bit = groups.trailingZeroBitCount
        groups &= groups - 1
        let first = (group * 64 + bit) * 64
        for index in first..<min(first + 64, words.count) {
          let bits = words.exchangeZero(index)
          if bits != 0 { taken.append((index, bits)) }
        }
      }
    }
    return taken
  }
}

/// A fixed array of atomic words.
///
/// Sendable because every access is atomic, and the memory lives as long as the object.
private final class UnsafeSharedWords: @unchecked Sendable {
  let count: Int
  private let base: UnsafeMutablePointer<Atomic<UInt64>>

  init(count: Int) {
    self.count = count
    base = .allocate(capacity: count)
    for index in 0..<count { (base + index).initialize(to: Atomic(0)) }
  }

  deinit {
    base.deinitialize(count: count)
    base.deallocate()
  }

  /// Sequentially consistent, because ``WriteTracker`` orders its flag against the bits.
  func or(_ index: Int, _ bits: UInt64) {
    if base[index].load(ordering: .sequentiallyConsistent) & bits != bits {
      base[index].bitwiseOr(bits, ordering: .sequentiallyConsistent)
    }
  }

  func exchangeZero(_ index: Int) -> UInt64 {
    base[index].load(ordering: .sequentiallyConsistent) == 0
      ? 0 : base[index].exchange(0, ordering: .sequentiallyConsistent)
  }
}
