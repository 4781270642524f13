import NBDProtocol

/// *Transmission*, *Request message*, *Simple reply message*: which bytes belong to which request.
extension Suite {
  static let framing: [Check] = [
    .observed("TX-010") { p in
      let session = try p.transmission()
      for cookie: UInt64 in [0, 1, 1 << 63 + 1, .max] {
        try session.sendRequest(0, cookie: cookie, 0, p.facts.unit)
        _ = try session.reply(to: cookie)
        try session.sendRequest(99, cookie: cookie)
        _ = try session.reply(to: cookie)
      }
    },
    Check("TX-011") { p in
      let session = try p.transmission()
      try p.need(size: 2 * p.facts.unit)
      for offset in [0, 0, 0, 0, p.facts.unit] { _ = try p.read(session, offset, Int(p.facts.unit)) }
      try p.expect(session.isQuiet(), "5 replies to 5 requests", "more bytes")
    },
    Check("TX-012") { p in
      let unit = p.facts.unit
      try p.need(size: 32 * unit)
      let session = try p.transmission()
      let whole = try p.read(session, 0, Int(32 * unit))
      var cookies: [UInt64: Int] = [:]
      for index in 0..<32 { cookies[try session.sendRequest(0, UInt64(index) * unit, unit)] = index }
      while !cookies.isEmpty {
        let (cookie, reply) = try session.nextReply()
        guard let index = cookies.removeValue(forKey: cookie) else { throw p.broken("32 cookies, each once", hex(cookie)) }
        let start = index * Int(unit)
        try p.expect(
          reply.data(UInt64(start), Int(unit)) == Array(whole[start..<(start + Int(unit))]), "the data of request \(index)",
          "other data")
      }
    },
    Check("TX-013") { p in
      let session = try p.transmission()
      for _ in 0..<4 { try session.sendRequest(0, cookie: 7, 0, p.facts.unit) }
      for index in 1...4 {
        let reply = try session.reply(to: 7)
        try p.expect(reply.isSuccess, "success of read \(index) of 4 with one cookie", reply.summary)
      }
    },
    Check("TX-014") { p in
      let length = min(4096, p.facts.end) / p.facts.minimum * p.facts.minimum
      try p.need(length > 0, "the export is empty")
      let session = try p.transmission()
      var all: [UInt8] = []
      for _ in 0..<256 { all += session.prepare(0, 0, length).bytes }
      try session.send(all, "256 requests for \(length) bytes each")
      for index in 1...256 {
        let (_, reply) = try session.nextReply()
        try p.expect(reply.isSuccess, "success of read \(index) of 256", reply.summary)
      }
    },
    Check("TX-015") { p in
      let session = try p.transmission()
      let slow = session.prepare(0, 0, p.facts.unit)
      try p.drip(session, slow.bytes, "NBD_CMD_READ")
      guard try session.reply(to: slow.cookie).isSuccess else {
        throw p.broken("the data of a read that came byte by byte", "an error")
      }
      var all: [UInt8] = []
      for _ in 0..<10 { all += session.prepare(0, 0, p.facts.unit).bytes }
      try session.send(all, "10 requests in one piece")
      for index in 1...10 {
        let (_, reply) = try session.nextReply()
        try p.expect(reply.isSuccess, "success of read \(index) of 10", reply.summary)
      }
    },
    Check("TX-016") { p in
      for magic: UInt32 in [0x1234_5678, 0x1256_0953, 0x21e4_1c71] {
        let session = try p.transmission()
        try p.breaking(session) {
          let request = session.prepare(0, 0, p.facts.unit)
          // 4 bytes more, for a server that takes it for an extended header before it looks at the magic.
          try session.send(bytes(magic) + request.bytes.dropFirst(4) + [0, 0, 0, 0], "a request with magic \(hex(magic))")
          let reply = try session.reply(to: request.cookie)
          try p.expect(!reply.isSuccess, "an error, or the end of the connection", "data")
        }
      }
    },
    .observed("TX-017") { p in
      let session = try p.transmission()
      _ = try session.request(.read, 0, p.facts.unit)
      _ = try session.request(number: 99)
      if p.facts.has(.sendFlush) { _ = try session.request(.flush) }
    },
    .observed("EH-002") { p in
      let session = try p.transmission()
      _ = try session.request(.read, 0, p.facts.unit)
      _ = try session.request(number: 9, 0, 512)
    },
    Check("TX-069") { p in
      let session = try p.transmission()
      try p.expect(
        session.isQuiet(p.settings.idle) && !session.stream.hasEnded, "an idle connection to stay",
        "its end after \(p.settings.idle) ms or less")
      try p.stillReads(session)
      try p.stillReads(session)
      _ = try session.request(number: 99)
      try p.stillReads(session)
    },
    Check("TX-073", isRisky: true) { p in
      let session = try p.transmission()
      let length = min(p.facts.end, 65536)
      try p.need(length >= 4096, "the export is too small")
      let header = session.encodedRequest(1, session.form == .extended ? 32 : 0, 77, 0, length)
      try session.send(header + Probe.pattern(1000), "NBD_CMD_WRITE of \(length) bytes, and 1000 of them")
      session.leave()
      let half = try p.transmission()
      try half.send(Array(half.encodedRequest(0, 0, 78, 0, 512).prefix(13)), "13 bytes of a request")
      half.leave()
      let other = try p.transmission()
      _ = try p.read(other, 0, Int(length))
      _ = other.isQuiet()
      try p.stillReads(other)
    },
  ]
}
