/// Numbers of the protocol's bytes, written out: the model server shares no code with the library.

func be<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> [UInt8] {
  stride(from: T.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> T($0)) }
}

func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }

/// The options' and commands' numbers, for violations that read like the specification.
enum Opt {
  static let exportName: UInt32 = 1, abort: UInt32 = 2, list: UInt32 = 3, startTLS: UInt32 = 5, info: UInt32 = 6, go: UInt32 = 7
  static let structured: UInt32 = 8, listMeta: UInt32 = 9, setMeta: UInt32 = 10, extended: UInt32 = 11
}

enum Rep {
  static let ack: UInt32 = 1, server: UInt32 = 2, info: UInt32 = 3, context: UInt32 = 4
  static let unsupported: UInt32 = 0x8000_0001, policy: UInt32 = 0x8000_0002, invalid: UInt32 = 0x8000_0003
  static let platform: UInt32 = 0x8000_0004, tlsRequired: UInt32 = 0x8000_0005, unknown: UInt32 = 0x8000_0006
  static let shutdown: UInt32 = 0x8000_0007, blockSizeRequired: UInt32 = 0x8000_0008, tooBig: UInt32 = 0x8000_0009
  static let extendedRequired: UInt32 = 0x8000_000a
}

enum Cmd {
  static let read: UInt16 = 0, write: UInt16 = 1, disconnect: UInt16 = 2, flush: UInt16 = 3, trim: UInt16 = 4, cache: UInt16 = 5
  static let zeroes: UInt16 = 6, status: UInt16 = 7
}

enum Flag {
  static let fua: UInt16 = 1, noHole: UInt16 = 2, df: UInt16 = 4, one: UInt16 = 8, fast: UInt16 = 16, payload: UInt16 = 32
}
