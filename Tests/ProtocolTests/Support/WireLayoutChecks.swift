// Layouts against bytes that were written out by hand, from the tables of proto.md.

import Testing

@testable import NBDProtocol

/// The bytes of hexadecimal digits; spaces are for the reader.
func octets(_ text: String) -> [UInt8] {
  let digits = text.compactMap(\.hexDigitValue)
  return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// Checks that `hex` and `value` are one and the same, in both directions, and that bytes are missed where they are missing.
///
/// - Parameters:
///   - restSize: bytes at the end that are the last field, where that takes as many as there are.
///   - sourceLocation: of the test.
func expectLayout<Layout: WireLayout>(
  _ hex: String, _ value: Layout, restSize: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
) {
  expectLayout(
    hex, value, restSize: restSize, decode: { Layout($0) }, encode: { $0.append(to: &$1) },
    sourceLocation: sourceLocation)
}

/// The same for a layout that is decoded with what other messages said before.
func expectLayout<Layout: Equatable>(
  _ hex: String, _ value: Layout, restSize: Int? = nil, decode: (RawSpan) -> Layout?,
  encode: (Layout, inout [UInt8]) -> Void, sourceLocation: SourceLocation = #_sourceLocation
) {
  let bytes = octets(hex)
  #expect(decode(bytes.span.bytes) == value, "decoded", sourceLocation: sourceLocation)
  var encoded: [UInt8] = []
  encode(value, &encoded)
  #expect(encoded == bytes, "encoded", sourceLocation: sourceLocation)
  for count in 0..<(bytes.count - (restSize ?? 0)) {
    // Memory of exactly that size.
    let cut = Array(bytes.prefix(count))
    #expect(decode(cut.span.bytes) == nil, "cut after \(count) bytes", sourceLocation: sourceLocation)
  }
  guard restSize == nil else { return }
  let longer = bytes + [0xff, 0xff, 0xff]
  #expect(decode(longer.span.bytes) == value, "with bytes of the next message", sourceLocation: sourceLocation)
}
