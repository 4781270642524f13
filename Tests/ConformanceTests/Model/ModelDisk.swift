import Synchronization

/// What all connections of a model server read and write: pages, of which those that are not there are zeros.
final class ModelDisk: Sendable {
  static let page: UInt64 = 65536

  private let pages: Mutex<[UInt64: [UInt8]]>

  /// Data at the start, in every other page of the first MiB, and at the end; zeros elsewhere.
  init(size: UInt64) {
    var pages: [UInt64: [UInt8]] = [:]
    let period = (1...251).map { UInt8($0) }
    var data: [UInt8] = []
    while data.count < Int(Self.page) { data += period }
    data.removeLast(data.count - Int(Self.page))
    for index in stride(from: UInt64(0), to: 16, by: 2) where index * Self.page < size { pages[index] = data }
    pages[(size - 1) / Self.page] = data
    self.pages = Mutex(pages)
  }

  func read(_ offset: UInt64, _ length: Int) -> [UInt8] {
    pages.withLock { pages in
      var result: [UInt8] = []
      result.reserveCapacity(length)
      Self.forEachPiece(offset, UInt64(length)) { page, range in
        if let data = pages[page] { result += data[range] } else { result += [UInt8](repeating: 0, count: range.count) }
      }
      return result
    }
  }

  func write(_ offset: UInt64, _ data: [UInt8]) {
    pages.withLock { pages in
      var done = 0
      Self.forEachPiece(offset, UInt64(data.count)) { page, range in
        var old = pages.removeValue(forKey: page) ?? [UInt8](repeating: 0, count: Int(Self.page))
        old.replaceSubrange(range, with: data[done..<(done + range.count)])
        pages[page] = old
        done += range.count
      }
    }
  }

  /// All that is there, for comparison.
  var contents: [UInt64: [UInt8]] { pages.withLock { $0 } }

  /// Whole pages go; parts of pages are zeroed.
  func zero(_ offset: UInt64, _ length: UInt64) {
    let end = offset + length
    pages.withLock { pages in
      for page in Array(pages.keys) where page * Self.page < end && page >= offset / Self.page {
        let start = max(offset, page * Self.page) - page * Self.page
        let stop = min(end - page * Self.page, Self.page)
        if stop - start == Self.page {
          pages[page] = nil
        } else {
          pages[page]?.replaceSubrange(Int(start)..<Int(stop), with: [UInt8](repeating: 0, count: Int(stop - start)))
        }
      }
    }
  }

  /// Runs of data and of zeros, by whole pages.
  func runs(_ offset: UInt64, _ length: UInt64) -> [(length: UInt64, isData: Bool)] {
    pages.withLock { pages in
      let end = offset + length
      // By the pages that are there, and not by those that are not: there may be many.
      var edges: [(start: UInt64, stop: UInt64)] = []
      for page in pages.keys.sorted() where page * Self.page < end && page >= offset / Self.page {
        let start = max(offset, page * Self.page)
        let stop = page * Self.page + min(end - page * Self.page, Self.page)
        if let last = edges.last, last.stop == start { edges[edges.count - 1].stop = stop } else { edges.append((start, stop)) }
      }
      var runs: [(UInt64, Bool)] = []
      var place = offset
      for (start, stop) in edges {
        if start > place { runs.append((start - place, false)) }
        runs.append((stop - start, true))
        place = stop
      }
      if place < end { runs.append((end - place, false)) }
      return runs
    }
  }

  private static func forEachPiece(_ offset: UInt64, _ length: UInt64, _ body: (UInt64, Range<Int>) -> Void) {
    var place = offset
    let end = offset + length
    while place < end {
      let index = place / page
      let start = Int(place - index * page)
      let count = min(Int(page) - start, Int(end - place))
      body(index, start..<(start + count))
      place += UInt64(count)
    }
  }
}
