/// The bytes that may stand for themselves in one part of a URI (RFC 3986, section 3 and appendix A).
package struct URICharacters: Sendable {
  private let allowed: [Bool]

  private init(_ others: String) {
    var allowed = [Bool](repeating: false, count: 256)
    let unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    for byte in (unreserved + others).utf8 { allowed[Int(byte)] = true }
    self.allowed = allowed
  }

  func contains(_ byte: UInt8) -> Bool { allowed[Int(byte)] }

  /// Names of hosts, and users without the colon that would start a password.
  static let registeredName = URICharacters("!$&'()*+,;=")
  static let path = URICharacters("!$&'()*+,;=:@/")
  static let query = URICharacters("!$&'()*+,;=:@/?")
  /// IPv6 in brackets, with a zone.
  static let literalAddress = URICharacters(":")
  /// What this library leaves unencoded in a parameter. Less than allowed: other readers take `;` for a separator
  /// and `+` for a space.
  static let parameterValue = URICharacters("!$'()*,=:@/?")
  /// The slash alone: for what is shown where nobody parses it, such as the mount table.
  package static let slash = URICharacters("/")
}

/// `bytes` as a part of a URI that leaves `plain` as it is.
package func percentEncoded(_ bytes: some Sequence<UInt8>, except plain: URICharacters) -> String {
  var result = ""
  for byte in bytes {
    if plain.contains(byte) {
      result.unicodeScalars.append(Unicode.Scalar(byte))
    } else {
      result += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
    }
  }
  return result
}

/// Decodes once. `part` says in errors which part of the URI it is.
func percentDecoded(
  _ bytes: ArraySlice<UInt8>, allowing plain: URICharacters, part: String
) throws(NBDError) -> [UInt8] {
  var result: [UInt8] = []
  var rest = bytes
  while let byte = rest.popFirst() {
    if byte == UInt8(ascii: "%") {
      guard let high = rest.popFirst().flatMap(hexadecimalDigit), let low = rest.popFirst().flatMap(hexadecimalDigit)
      else { throw .invalidArgument("NBD URI: a % without two hexadecimal digits in the \(part)") }
      result.append(high << 4 | low)
    } else if plain.contains(byte) {
      result.append(byte)
    } else {
      throw .invalidArgument("NBD URI: \(percentEncoded([byte], except: plain)) must be written for a character in the \(part)")
    }
  }
  return result
}

/// Decodes text: UTF-8 without NUL.
func percentDecodedText(
  _ bytes: ArraySlice<UInt8>, allowing plain: URICharacters, part: String
) throws(NBDError) -> String {
  let decoded = try percentDecoded(bytes, allowing: plain, part: part)
  guard !decoded.contains(0) else { throw .invalidArgument("NBD URI: a NUL byte in the \(part)") }
  guard let text = String(validating: decoded, as: UTF8.self) else {
    throw .invalidArgument("NBD URI: the \(part) is not UTF-8")
  }
  return text
}

private func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  default: nil
  }
}
