/// An error that the server has answered a command with, and what it says about it: for people.
///
/// Programs get the number. The words, which only structured and extended replies have, are for whoever looks after the server.
package struct ErrorReply: Hashable, Sendable, CustomStringConvertible {
  /// What the server was asked for: a command on the wire, which may be a part of an operation.
  package var command: Command
  /// Bytes from the start of the export.
  package var offset: UInt64
  /// Bytes.
  package var length: UInt64
  package var code: NBDErrorCode
  /// The server's words as they came, at most ``Limits/string`` bytes; empty where it had none.
  package var text = ""
  /// Errors that were answered after this one, before it was taken.
  package var more = 0

  /// Scalars of ``text`` that are shown.
  static let longestText = 400

  /// One printable line.
  package var description: String {
    let range = command == .flush ? "" : " of \(length) bytes at \(offset)"
    let words = text.isEmpty ? "" : ": " + printable(String(text.unicodeScalars.prefix(Self.longestText)))
    let others = more == 0 ? "" : more == 1 ? " (and 1 more error)" : " (and \(more) more errors)"
    return "the server answered \(command)\(range) with \(code)\(words)\(others)"
  }
}

/// Keeping errors for people: one at a time, and nothing where there is none.
extension TransmissionMachine {
  /// Keeps the words of an error chunk until the command at `index` ends. One text for all commands in flight: where servers
  /// begin several failing replies at once, which they do not, the last one counts.
  mutating func keepText(_ message: [UInt8], of index: Int) {
    guard !message.isEmpty, commands[index].pointee.error.rawValue == 0 else { return }
    errorText = (index, ServerWords.text(message))
  }

  /// A command has ended, in whatever way. A shutdown is told as the end of the connection, and what is tried again in
  /// smaller commands has not failed.
  mutating func noteError(_ index: Int, _ slot: CommandSlot) {
    guard slot.error.rawValue != 0 else { return }
    var text = ""
    if let kept = errorText, kept.command == index {
      text = kept.text
      errorText = nil
    }
    guard slot.error != .shutdown, !(slot.purpose == .whole || slot.purpose == .part) || !limits.mayBeTooLarge(slot) else {
      return
    }
    if errorReply != nil {
      errorReply?.more += 1
    } else {
      errorReply = ErrorReply(command: slot.command, offset: slot.offset, length: slot.length, code: slot.error, text: text)
    }
  }

  /// The first error reply since this was last called.
  package mutating func takeErrorReply() -> ErrorReply? {
    guard errorReply != nil else { return nil }
    defer { errorReply = nil }
    return errorReply
  }
}
