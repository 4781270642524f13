/// Big-endian loads and stores: the only place that makes integers of protocol bytes, or protocol bytes of integers.
///
/// Every integer in NBD is unsigned and in network byte order (*Conventions*). A decoder checks a
/// message's length once, and then loads fields at constant offsets; the span traps on an offset
/// outside its bounds, which after that one check cannot happen whatever the peer has sent.

extension RawSpan {
  /// The unsigned big-endian integer at `offset`. Requires `offset + size <= byteCount`.
  @inline(__always)
  package func loadBigEndian<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ offset: Int, as type: T.Type = T.self
  ) -> T {
    precondition(offset >= 0 && offset <= byteCount - MemoryLayout<T>.size)
    // SAFETY: the bounds were checked on the line above; integers are valid for any bit pattern.
    return T(bigEndian: unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: T.self))
  }

  /// The bytes from `offset` to the end, copied.
  package func copyBytes(from offset: Int = 0) -> [UInt8] {
    precondition(offset <= byteCount)
    return unsafe extracting(offset..<byteCount).withUnsafeBytes { unsafe Array($0) }
  }

  /// The string at `offset`, a 32-bit count of bytes and then the bytes, and the offset behind it. Nil where it does not end
  /// inside the span.
  package func loadCounted(_ offset: Int = 0) -> (bytes: [UInt8], end: Int)? {
    guard offset <= byteCount - 4 else { return nil }
    let start = offset + 4
    guard let count = Int(exactly: loadBigEndian(offset, as: UInt32.self)), count <= byteCount - start else { return nil }
    return (extracting(start..<(start + count)).copyBytes(), start + count)
  }
}

extension UnsafeMutableRawPointer {
  /// Stores `value` in network byte order at `offset` bytes from this pointer.
  @inline(__always)
  func storeBigEndian<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
    unsafe storeBytes(of: value.bigEndian, toByteOffset: offset, as: T.self)
  }
}

extension Array where Element == UInt8 {
  /// Appends `value` in network byte order. For the handshake, where messages are small and few.
  package mutating func appendBigEndian<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
    for shift in stride(from: T.bitWidth - 8, through: 0, by: -8) {
      append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }

  /// Appends `string` with the 32-bit count of its bytes in front.
  package mutating func appendCounted(_ string: [UInt8]) {
    appendBigEndian(UInt32(truncatingIfNeeded: string.count))
    self += string
  }
}
