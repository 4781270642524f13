/// Finds readers that go through the file from one end to the other, from the requests that they make.
///
/// Several may do so at the same time. The requests of one may overtake each other on their way here, and skip what the kernel
/// has in its cache already.
struct SequentialReads {
  /// Bytes of the smallest request that counts: the kernel's read-ahead asks for this much once it believes in the reader.
  static let smallest: UInt64 = 64 << 10
  /// Readers that are remembered; the one that was seen longest ago makes room.
  private static let mostReaders = 4
  /// Bytes by which requests may be out of order.
  private static let slack: UInt64 = 512 << 10
  /// Bytes of the first window; each is twice the one before it.
  private static let firstWindow: UInt64 = 1 << 20

  private struct Reader {
    /// Up to where it has read.
    var position: UInt64
    /// Up to where windows were given out.
    var fetched: UInt64
    var window: UInt64 = SequentialReads.firstWindow
    var isSequential = false

    /// A read at `offset` is, or may be, this one's next.
    func isContinued(by offset: UInt64) -> Bool {
      offset + SequentialReads.slack >= position && offset <= fetched + SequentialReads.slack
    }
  }

  private let size: UInt64
  private let largestWindow: UInt64
  /// The one that was seen last comes last.
  private var readers: [Reader] = []

  /// - Parameters:
  ///   - size: bytes of the file.
  ///   - largestWindow: most bytes that are fetched before they are read; 0 for none.
  init(size: UInt64, largestWindow: UInt64) {
    self.size = size
    self.largestWindow = largestWindow
  }

  /// Takes note of a read. Returns what should be fetched next, if this is the moment: a reader that goes on in sequence
  /// has used up what was fetched for it.
  mutating func note(_ offset: UInt64, _ length: UInt64) -> Range<UInt64>? {
    guard largestWindow > 0 else { return nil }
    let end = min(offset + length, size)
    guard let index = readers.lastIndex(where: { $0.isContinued(by: offset) }) else {
      if readers.count == Self.mostReaders { readers.removeFirst() }
      readers.append(Reader(position: end, fetched: end))
      return nil
    }
    var reader = readers.remove(at: index)
    defer { readers.append(reader) }
    guard end > reader.position else { return nil }
    reader.position = end
    guard reader.isSequential || offset >= reader.fetched else { return nil }
    reader.isSequential = true
    // Little is left near the end: the reader would be done first.
    guard end >= reader.fetched, size - end >= Self.firstWindow else { return nil }
    let window = end..<min(end + min(reader.window, largestWindow), size)
    reader.window = min(reader.window * 2, largestWindow)
    reader.fetched = window.upperBound
    return window
  }
}
