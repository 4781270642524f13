/// Text of messages for people.

/// `value` in hexadecimal, for numbers that are known by their bits.
package func hex<T: UnsignedInteger>(_ value: T) -> String { "0x" + String(value, radix: 16) }

/// `text` with control characters escaped and cut to ``Limits/string`` scalars, because a server's words
/// must never reach a terminal as they came.
public func printable(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars.prefix(Limits.string) {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default:
      result.unicodeScalars.append(scalar)
    }
  }
  return result
}
