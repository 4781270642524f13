import NBDProtocol

/// *Request types*: `NBD_CMD_DISC`; *Terminating the transmission phase*.
extension Suite {
  static let disconnect: [Check] = [
    Check("TX-030") { p in
      try p.repeatedly { _ in
        let session = try p.transmission()
        try session.sendRequest(2)
        try p.expectEnd(session)
      }
    },
    Check("TX-031") { p in
      try p.need(!p.target.hasServerForEachConnection, "each connection has a server of its own")
      try p.need(size: UInt64(Probe.writes) * p.facts.unit)
      // Replies that are missing only warn; lost data on a later connection would not.
      var isComplete = true
      try p.repeatedly(4) { attempt in
        let replies = try p.disconnectBehindWrites(seed: attempt)
        if replies < Probe.writes { isComplete = false }
      }
      try p.prefer(isComplete, "\(Probe.writes) replies before the end (ambiguity A8)", "fewer, on some connections")
    },
    Check("TX-032") { p in
      for (flags, offset, length): (UInt16, UInt64, UInt64) in [(0, 512, 512), (0x8000, 0, 0)] {
        try p.repeatedly { _ in
          let session = try p.transmission()
          try session.sendRequest(2, flags: flags, offset, length)
          try p.expectEnd(session)
        }
      }
    },
    Check("TX-033") { p in
      try p.need(.sendFUA, "NBD_CMD_FLAG_FUA")
      try p.repeatedly { _ in
        let session = try p.transmission()
        try session.sendRequest(2, flags: CommandFlags.fua.rawValue)
        try p.expectEnd(session)
      }
    },
    Check("TX-034") { p in
      try p.need(!p.target.hasServerForEachConnection, "each connection has a server of its own")
      let session = try p.transmission()
      _ = try p.read(session, 0, Int(min(p.facts.unit, p.facts.end)))
      try session.sendRequest(2)
      _ = session.end(16)
      let other = try p.transmission()
      try p.stillReads(other)
      _ = other.isQuiet()
      try p.stillReads(other)
    },
  ]
}

extension Probe {
  /// Writes before `NBD_CMD_DISC`: with it, one for each of 16 threads.
  fileprivate static let writes = 15

  /// Sends writes and `NBD_CMD_DISC` in one piece, and looks on another connection whether all was written.
  ///
  /// - Returns: how many of the writes were answered.
  fileprivate func disconnectBehindWrites(seed: Int) throws -> Int {
    let unit = facts.unit
    let session = try transmission()
    let data = (0..<Self.writes).map { Self.pattern(Int(unit), UInt8(truncatingIfNeeded: 50 + Self.writes * seed + $0)) }
    var all: [UInt8] = []
    var cookies: [UInt64] = []
    for (index, piece) in data.enumerated() {
      let write = session.prepare(1, UInt64(index) * unit, unit, payload: piece)
      all += write.bytes
      cookies.append(write.cookie)
    }
    try session.send(all + session.encodedRequest(2, 0, 99, 0, 0), "\(Self.writes) writes and NBD_CMD_DISC in one piece")
    // By cookie. There is one for each write, or the connection has ended before.
    var replies: [UInt64: String] = [:]
    do {
      while replies.count < Self.writes {
        let (cookie, reply) = try session.nextReply()
        replies[cookie] = reply.summary
      }
    } catch let finding as Finding where session.hasMetItsEnd { _ = finding }
    let other = try transmission()
    for (index, piece) in data.enumerated() {
      try expect(
        read(other, UInt64(index) * unit, Int(unit)) == piece, "the data of write \(index) before NBD_CMD_DISC",
        "other data, and the write was answered with \(replies[cookies[index]] ?? "nothing")")
    }
    return replies.count
  }

  /// The server closes without a byte.
  fileprivate func expectEnd(_ session: Session) throws {
    let (reply, isEnd) = session.end(64)
    try expect(
      isEnd && reply.isEmpty, "the end of the connection, and no reply",
      reply.isEmpty ? "an open connection" : "\(reply.count) bytes")
  }
}
