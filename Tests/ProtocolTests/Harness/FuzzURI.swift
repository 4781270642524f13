@testable import NBDProtocol

/// Any text is a URI that reads the same when it is written canonically, or an error that says so and does not repeat the text
/// where that could be a password.
func fuzzURI(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  do throws(NBDError) {
    let uri = try NBDURI(text)
    let canonical = uri.description
    if !canonical.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) { fault("not a URI: \(canonical)") }
    if uri.exportName.utf8.count > Limits.string || uri.exportName.utf8.contains(0) { fault("a name that is none: \(uri)") }
    do throws(NBDError) {
      let again = try NBDURI(canonical)
      if again != uri || again.description != canonical { fault("\(canonical) reads as \(again)") }
    } catch { fault("\(canonical) is refused: \(error)") }
  } catch {
    guard case .invalidArgument(let message) = error else { return fault("another kind of error: \(error)") }
    if message.isEmpty || !isPrintable(message) || message.utf8.count > 64 * 1024 { fault("no message for a person: \(message)") }
  }
}
