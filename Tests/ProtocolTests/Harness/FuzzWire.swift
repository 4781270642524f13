@testable import NBDProtocol

/// A layout that is there in some bytes is the same after it was written and read again, and written it takes no more bytes than
/// it was read from. Names of numbers are words, whatever the number.
func fuzzWire(_ input: FuzzInput) {
  var input = input
  let choice = input.byte()
  let bytes = input.all()
  switch choice % 24 {
  case 0: roundTrip(GreetingMagic.self, bytes)
  case 1: roundTrip(OldstyleExport.self, bytes)
  case 2: roundTrip(OptionReplyHeader.self, bytes)
  case 3: roundTrip(ServerReply.self, bytes)
  case 4: roundTrip(MetaContextReply.self, bytes)
  case 5: roundTrip(ExportNameReply.self, bytes)
  case 6: roundTrip(OptionHeader.self, bytes)
  case 7: roundTrip(InformationRequest.self, bytes)
  case 8: roundTrip(MetaContextRequest.self, bytes)
  case 9: roundTrip(InfoItem.self, bytes)
  case 10: roundTrip(ReplyHeader.self, bytes)
  case 11: roundTrip(OffsetData.self, bytes)
  case 12: roundTrip(OffsetHole.self, bytes)
  case 13: roundTrip(HandshakeFlags.self, bytes)
  case 14: roundTrip(ClientFlags.self, bytes)
  case 15, 16:
    let isExtended = choice % 2 == 0
    roundTrip(bytes, decode: { StatusHeader($0, extended: isExtended) }, encode: { $0.append(to: &$1) })
  case 17, 18:
    let isExtended = choice % 2 == 0
    roundTrip(
      bytes, decode: { StatusDescriptor($0, extended: isExtended) }, encode: { $0.append(to: &$1, extended: isExtended) })
  case 19, 20:
    let type = choice % 2 == 0 ? ChunkType.error : .errorOffset
    roundTrip(bytes, decode: { ErrorChunk($0, type) }, encode: { $0.append(to: &$1) })
  case 21: roundTrip(bytes, decode: { RequestHeader($0) }, encode: { $1 += $0.encoded(extended: isExtendedRequest(bytes)) })
  case 22: checkNames(bytes)
  default: checkText(String(decoding: bytes, as: UTF8.self))
  }
}

private func roundTrip<Layout: WireLayout>(_: Layout.Type, _ bytes: [UInt8]) {
  roundTrip(bytes, decode: { Layout($0) }, encode: { $0.append(to: &$1) })
}

private func roundTrip<Layout: Equatable>(
  _ bytes: [UInt8], decode: (RawSpan) -> Layout?, encode: (Layout, inout [UInt8]) -> Void
) {
  guard let value = decode(bytes.span.bytes) else { return }
  var encoded: [UInt8] = []
  encode(value, &encoded)
  if encoded.count > bytes.count { fault("\(value) takes \(encoded.count) bytes, read from \(bytes.count)") }
  if decode(encoded.span.bytes) != value { fault("\(value) is not what is read of its own bytes") }
}

private func isExtendedRequest(_ bytes: [UInt8]) -> Bool {
  guard let magic = bytes.count < 4 ? nil : bytes.span.bytes.loadBigEndian(0, as: UInt32.self) else { return false }
  return magic == Magic.extendedRequest
}

/// Every number that the protocol names, known or not.
private func checkNames(_ bytes: [UInt8]) {
  var input = FuzzInput(bytes)
  let number = input.word()
  let short = UInt16(truncatingIfNeeded: number)
  let names = [
    "\(OptionType(rawValue: number))", "\(OptionReplyType(rawValue: number))", "\(InfoType(rawValue: short))",
    "\(ChunkType(rawValue: short))", "\(NBDErrorCode(rawValue: number))", "\(NBDError.server(NBDErrorCode(rawValue: number)))",
  ]
  for name in names where name.isEmpty || !isPrintable(name) { fault("\(name) is no name") }
}

private func checkText(_ text: String) {
  let shown = printable(text)
  if !isPrintable(shown) { fault("not printable: \(shown)") }
  if shown.unicodeScalars.count > 10 * Limits.string { fault("\(shown.unicodeScalars.count) scalars of text") }
}

/// What may go to a terminal as it is.
func isPrintable(_ text: String) -> Bool {
  text.unicodeScalars.allSatisfy { scalar in
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
    default: true
    }
  }
}
