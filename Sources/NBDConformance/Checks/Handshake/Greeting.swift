import NBDProtocol

/// *Newstyle negotiation*, *Oldstyle negotiation*, *Handshake flags*: what the server says first.
extension Suite {
  static let greeting: [Check] = [
    Check("HS-001") { p in
      let session = try p.connect()
      let magic = try session.receive(8, "NBDMAGIC")
      session.log(.received, "greeting", [Field("magic", magic)])
      try p.expect(magic == bytes(Magic.initial), "NBDMAGIC", shown(magic))
    },
    Check("HS-002") { p in
      try p.need(!p.facts.isOldstyle, "the server is oldstyle")
      let session = try p.connect()
      let magics = try session.receive(16, "16 bytes of greeting")
      session.log(.received, "greeting", [Field("magic", magics[0..<8]), Field("magic", magics[8..<16])])
      try p.expect(Array(magics[8...]) == bytes(Magic.option), "IHAVEOPT", shown(magics[8...]))
    },
    Check("HS-003") { p in
      let session = try p.greeted()
      try p.expect(session.isQuiet(), "no byte behind the 18 of the greeting", "more bytes")
    },
    Check("HS-004") { p in
      let flags = try Self.flags(p)
      try p.expect(flags & 1 == 1, "NBD_FLAG_FIXED_NEWSTYLE", "handshake flags \(hex(flags))")
    },
    Check("HS-005") { p in
      let flags = try Self.flags(p)
      try p.expect(flags & 0xfffc == 0, "no flag but bits 0 and 1", "handshake flags \(hex(flags))")
    },
    Check("HS-012") { p in
      try p.need(p.target.tcpPort == 10809, "the server is not on port 10809")
      let magics = try p.connect().receive(16, "16 bytes of greeting")
      try p.expect(Array(magics[8...]) == bytes(Magic.option), "IHAVEOPT on port 10809", shown(magics[8...]))
    },
  ]

  static let oldstyle: [Check] = [
    Check("HS-013") { p in
      let (session, greeting) = try Self.oldstyleGreeting(p)
      try p.expect(greeting[28...].allSatisfy { $0 == 0 }, "124 zero bytes", "other bytes")
      try p.expect(session.isQuiet(), "no byte behind the 152 of the greeting", "more bytes")
    },
    Check("HS-014") { p in
      let (_, greeting) = try Self.oldstyleGreeting(p)
      let flags: UInt32 = greeting.span.bytes.loadBigEndian(24)
      try p.expect(flags >> 16 == 0, "an upper half of 0", "flags \(hex(flags))")
    },
  ]

  private static func flags(_ p: Probe) throws -> UInt16 {
    try p.need(!p.facts.isOldstyle, "the server is oldstyle")
    let session = try p.connect()
    let greeting = try session.receive(18, "the greeting")
    session.log(.received, "greeting", [Field("magics", greeting[0..<16]), Field("handshake flags", greeting[16..<18])])
    return greeting.span.bytes.loadBigEndian(16)
  }

  private static func oldstyleGreeting(_ p: Probe) throws -> (Session, [UInt8]) {
    try p.need(p.facts.isOldstyle, "the server is newstyle")
    let session = try p.connect()
    let greeting = try session.receive(152, "152 bytes of greeting")
    session.log(
      .received, "oldstyle greeting",
      [
        Field("magics", greeting[0..<16]), Field("size", greeting[16..<24]), Field("flags", greeting[24..<28]),
        Field("zeros", greeting[28...]),
      ])
    return (session, greeting)
  }
}
