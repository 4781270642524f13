/// The bytes of one execution, read as choices. After the end every choice is zero, so that any bytes are an input.
struct FuzzInput {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isEmpty: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }
  mutating func pair() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }
  mutating func word() -> UInt32 { UInt32(pair()) << 16 | UInt32(pair()) }
  mutating func doubleWord() -> UInt64 { UInt64(word()) << 32 | UInt64(word()) }

  /// The next bytes, no more than are there.
  mutating func bytes(_ count: Int) -> [UInt8] {
    let taken = rest.prefix(count)
    rest = rest.dropFirst(taken.count)
    return Array(taken)
  }

  mutating func all() -> [UInt8] { bytes(rest.count) }

  /// One of `values`, which are not empty.
  mutating func one<Value>(of values: [Value]) -> Value { values[Int(byte()) % values.count] }
}
