// Both sides' words in the negotiation, built here independently of the library's own encoders.

func be16(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
func be32(_ value: UInt32) -> [UInt8] { be16(UInt16(value >> 16)) + be16(UInt16(value & 0xffff)) }
func be64(_ value: UInt64) -> [UInt8] { be32(UInt32(value >> 32)) + be32(UInt32(value & 0xffff_ffff)) }
func join(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { $0 } }
func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }
func counted(_ text: String) -> [UInt8] { be32(UInt32(text.utf8.count)) + ascii(text) }
func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

/// What a server says.
enum Server {
  static func greeting(_ flags: UInt16 = 3) -> [UInt8] { join(ascii("NBDMAGICIHAVEOPT"), be16(flags)) }

  static func oldstyle(size: UInt64, flags: UInt32) -> [UInt8] {
    join(ascii("NBDMAGIC"), be64(0x0000_4202_8186_1253), be64(size), be32(flags), zeros(124))
  }

  static func reply(_ option: UInt32, _ type: UInt32, _ payload: [UInt8] = []) -> [UInt8] {
    join(be64(0x3e889045565a9), be32(option), be32(type), be32(UInt32(payload.count)), payload)
  }

  static func ack(_ option: UInt32) -> [UInt8] { reply(option, 1) }

  static func error(_ option: UInt32, _ number: UInt32, _ text: String = "") -> [UInt8] {
    reply(option, 0x8000_0000 | number, ascii(text))
  }

  static func export(_ name: String, _ description: String = "") -> [UInt8] {
    reply(3, 2, counted(name) + ascii(description))
  }

  static func context(_ option: UInt32, id: UInt32, _ name: String) -> [UInt8] {
    reply(option, 4, be32(id) + ascii(name))
  }

  static func info(_ type: UInt16, _ payload: [UInt8], option: UInt32 = 7) -> [UInt8] {
    reply(option, 3, be16(type) + payload)
  }

  static func infoExport(size: UInt64, flags: UInt16, option: UInt32 = 7) -> [UInt8] {
    info(0, be64(size) + be16(flags), option: option)
  }

  static func infoSizes(_ minimum: UInt32, _ preferred: UInt32, _ maximum: UInt32) -> [UInt8] {
    info(3, join(be32(minimum), be32(preferred), be32(maximum)))
  }
}

/// What the client is expected to say.
enum Client {
  static func flags(_ flags: UInt32) -> [UInt8] { be32(flags) }

  static func option(_ number: UInt32, _ data: [UInt8] = []) -> [UInt8] {
    join(ascii("IHAVEOPT"), be32(number), be32(UInt32(data.count)), data)
  }

  static func go(_ name: String, option number: UInt32 = 7) -> [UInt8] {
    option(number, join(counted(name), be16(3), be16(3), be16(1), be16(2)))
  }

  static func contexts(_ number: UInt32, _ name: String, _ queries: [String]) -> [UInt8] {
    option(number, join(counted(name), be32(UInt32(queries.count)), queries.flatMap(counted)))
  }

  static let abort = option(2)
  static let disconnect = join(be32(0x2560_9513), be16(0), be16(2), be64(0), be64(0), be32(0))
  static let disconnectExtended = join(be32(0x21e4_1c71), be16(0), be16(2), be64(0), be64(0), be64(0))
}
