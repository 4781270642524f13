import TestSupport
import Testing

/// A server's disk behind a volatile cache, in memory: it takes requests off the wire one at a time and answers them with simple
/// replies. It fails at random, and forgets then, without a further word, what a failed flush did not write.
struct ModelDisk {
  /// A request of 28 bytes, and its payload.
  struct Request {
    let flags: Int
    let command: Int
    let handle: ArraySlice<UInt8>
    let range: Range<Int>
    let payload: ArraySlice<UInt8>

    static let write = 1
    static let flush = 3
    private static let size = 28

    /// The request at the front of `bytes`; nil where it is not all there.
    init?(_ bytes: ArraySlice<UInt8>) {
      guard bytes.count >= Self.size else { return nil }
      func number(_ offset: Int, _ count: Int) -> Int {
        bytes.dropFirst(offset).prefix(count).reduce(0) { $0 << 8 | Int($1) }
      }
      let command = number(6, 2)
      let length = number(24, 4)
      let payload = command == Self.write ? length : 0
      guard bytes.count >= Self.size + payload else { return nil }
      flags = number(4, 2)
      self.command = command
      handle = bytes.dropFirst(8).prefix(8)
      range = number(16, 8)..<number(16, 8) + length
      self.payload = bytes.dropFirst(Self.size).prefix(payload)
    }

    var end: Int { payload.endIndex }
  }

  /// What the server answers reads with, and the order of the write that each byte is of.
  private(set) var contents: [UInt8]
  private(set) var writes: [Int]
  /// The server knows that a byte is not on the disk.
  private var isDirty: [Bool]
  /// The writes that would be left after a power cut, and their bytes.
  private(set) var durableWrites: [Int]
  private(set) var durable: [UInt8]
  private var lastWrite = 0
  private var generator: SeededGenerator
  /// How probable an error is.
  var failures: Double

  init(size: Int, seed: UInt64, failures: Double) {
    contents = Array(repeating: 0, count: size)
    writes = Array(repeating: 0, count: size)
    isDirty = Array(repeating: false, count: size)
    durable = Array(repeating: 0, count: size)
    durableWrites = Array(repeating: 0, count: size)
    generator = SeededGenerator(seed)
    self.failures = failures
  }

  /// Carries `request` out, and returns the reply.
  mutating func execute(_ request: Request) -> [UInt8] {
    let succeeds = Double.random(in: 0..<1, using: &generator) >= failures
    var data: [UInt8] = []
    switch request.command {
    case 0: if succeeds { data = Array(contents[request.range]) }
    case Request.write: write(request.range, Array(request.payload), succeeds)
    case Request.flush: flush(succeeds)
    case 6: write(request.range, Array(repeating: 0, count: request.range.count), succeeds)
    default: Issue.record("command \(request.command)")
    }
    if request.command != Request.flush, request.flags & 1 != 0 {
      // FUA: a server that cannot do it for one range flushes all, and so may lose all.
      flush(succeeds)
    }
    return [0x67, 0x44, 0x66, 0x98] + [0, 0, 0, succeeds ? 0 : 5] + request.handle + data
  }

  /// A write that fails has written a part.
  private mutating func write(_ range: Range<Int>, _ payload: [UInt8], _ succeeds: Bool) {
    lastWrite += 1
    let count = succeeds ? range.count : Int.random(in: 0...range.count, using: &generator)
    let part = range.prefix(count)
    contents.replaceSubrange(part, with: payload.prefix(count))
    writes.replaceSubrange(part, with: repeatElement(lastWrite, count: count))
    isDirty.replaceSubrange(part, with: repeatElement(true, count: count))
  }

  private mutating func flush(_ succeeds: Bool) {
    for index in isDirty.indices where isDirty[index] {
      if succeeds || Int.random(in: 0..<4, using: &generator) == 0 {
        durable[index] = contents[index]
        durableWrites[index] = writes[index]
      }
      isDirty[index] = false
    }
  }
}
