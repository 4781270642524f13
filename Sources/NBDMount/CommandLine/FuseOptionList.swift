/// The text form of mount options: a comma list in which a backslash quotes, as libfuse reads it
/// (`fuse_opt.c`): `\,` is a comma, `\\` a backslash, `\054` the character with that octal number.
enum FuseOptionList {
  /// The options of one `-o` argument, unquoted. Empty ones are dropped, as mount(8) does.
  static func split(_ text: String) -> [String] {
    var options: [String] = []
    var current: [UInt8] = []
    var bytes = text.utf8.makeIterator()
    var pending = bytes.next()
    while let byte = pending {
      pending = bytes.next()
      if byte == UInt8(ascii: ",") {
        options.append(String(decoding: current, as: UTF8.self))
        current = []
      } else if byte == UInt8(ascii: "\\"), let quoted = pending {
        pending = bytes.next()
        // Look ahead for two more octal digits without consuming them if they are not there.
        var ahead = bytes
        if (0x30...0x33).contains(quoted), let second = pending, isOctal(second),
          let third = ahead.next(), isOctal(third)
        {
          current.append((quoted - 0x30) << 6 | (second - 0x30) << 3 | (third - 0x30))
          bytes = ahead
          pending = bytes.next()
        } else {
          current.append(quoted)
        }
      } else {
        current.append(byte)
      }
    }
    options.append(String(decoding: current, as: UTF8.self))
    return options.filter { !$0.isEmpty }
  }

  /// `option` so that ``split(_:)`` and libfuse read back exactly it.
  static func quote(_ option: String) -> String {
    var result = ""
    for character in option.unicodeScalars {
      if character == "," || character == "\\" { result.unicodeScalars.append("\\") }
      result.unicodeScalars.append(character)
    }
    return result
  }

  private static func isOctal(_ byte: UInt8) -> Bool { (0x30...0x37).contains(byte) }
}
