import NBDProtocol
import Synchronization

/// Where the holes are, as the server last said, so that a program which goes from hole to hole does not ask for the whole
/// map at each step.
///
/// One window of the export is known at a time: programs seek forwards, and the server answers in large spans. The
/// window is dropped when something is written and when the file is opened. So what a program sees is never older than
/// its own open, which is what it may expect of a file that others change elsewhere; and for the same reason reads
/// are never answered from here: NBD has no way to know that nobody else has written.
final class ExtentCache: Sendable {
  /// Runs that are kept; a map with more of them is forgotten from the front.
  private static let mostRuns = 65_536

  private struct Window {
    /// Neighbours differ: hole, data, hole, ...
    var runs: [Run] = []
    var generation: UInt64 = 0
    var start: UInt64 { runs.first?.start ?? 0 }
    var end: UInt64 { runs.last?.end ?? 0 }

    /// Appends what `extent` says beyond the end.
    mutating func add(_ extent: Extent) {
      let isHole = AllocationMap.isHole(extent)
      if let last = runs.indices.last, runs[last].isHole == isHole {
        runs[last].end = extent.end
      } else {
        runs.append(Run(start: runs.last?.end ?? extent.offset, end: extent.end, isHole: isHole))
      }
    }
  }

  private struct Run {
    var start: UInt64
    var end: UInt64
    var isHole: Bool
  }

  enum Answer: Equatable {
    /// The first byte of the wanted kind at or after the position.
    case at(UInt64)
    /// Nothing is known from this byte on; up to it there is only the other kind.
    case unknown(from: UInt64)
  }

  private let window = Mutex(Window())
  private let generation = Atomic<UInt64>(0)
  private let isEmpty = Atomic<Bool>(true)

  /// To be taken before the server is asked, and given to ``add(_:asked:)``.
  var now: UInt64 { generation.load(ordering: .sequentiallyConsistent) }

  /// The export has changed, or may have.
  func invalidate() {
    generation.add(1, ordering: .sequentiallyConsistent)
    guard !isEmpty.load(ordering: .sequentiallyConsistent) else { return }
    window.withLock { $0 = Window() }
    isEmpty.store(true, ordering: .sequentiallyConsistent)
  }

  /// Notes what the server said, unless something has been written since it was asked. An answer that begins where something
  /// is known, or right after it, adds what is new; any other begins anew.
  func add(_ extents: [Extent], asked generation: UInt64) {
    guard let first = extents.first else { return }
    window.withLock { window in
      guard generation == now else { return }
      let continues = window.generation == generation && window.start <= first.offset && first.offset <= window.end
      if !continues || window.runs.isEmpty || window.runs.count > Self.mostRuns {
        window = Window(runs: [], generation: generation)
      }
      for extent in extents where window.runs.isEmpty || extent.end > window.end { window.add(extent) }
      isEmpty.store(false, ordering: .sequentiallyConsistent)
    }
  }

  /// Looks for data, or for a hole, from `position` on.
  func find(hole wantsHole: Bool, from position: UInt64) -> Answer {
    guard !isEmpty.load(ordering: .sequentiallyConsistent) else { return .unknown(from: position) }
    return window.withLock { window in
      guard window.generation == now, position >= window.start, position < window.end else {
        return .unknown(from: position)
      }
      var low = 0
      var high = window.runs.count
      while low < high {
        let middle = (low + high) / 2
        if window.runs[middle].end <= position { low = middle + 1 } else { high = middle }
      }
      // Neighbours differ, so that it is this run or the next one.
      for run in window.runs[low...].prefix(2) where run.isHole == wantsHole {
        return .at(max(position, run.start))
      }
      return .unknown(from: window.end)
    }
  }
}
