import NBDProtocol

/// *Request types*: `NBD_CMD_DISC`; *Terminating the transmission phase*.
extension Suite {
  static let disconnect: [Check] = [
    Check("TX-030") { p in
      let session = try p.transmission()
      try session.sendRequest(2)
      try p.expectEnd(session)
    },
    Check("TX-031") { p in
      let unit = p.facts.unit
      try p.need(size: 8 * unit)
      let session = try p.transmission()
      let data = (0..<8).map { Probe.pattern(Int(unit), UInt8(50 + $0)) }
      var all: [UInt8] = []
      for (index, piece) in data.enumerated() { all += session.prepare(1, UInt64(index) * unit, unit, payload: piece).bytes }
      try session.send(all + session.encodedRequest(2, 0, 99, 0, 0), "8 writes and NBD_CMD_DISC in one piece")
      var replies = 0
      do {
        while replies < 8 {
          _ = try session.nextReply()
          replies += 1
        }
      } catch let finding as Finding where session.hasMetItsEnd { _ = finding }
      _ = session.end()
      let other = try p.transmission()
      for (index, piece) in data.enumerated() {
        try p.expect(p.read(other, UInt64(index) * unit, Int(unit)) == piece, "the data of write \(index) before NBD_CMD_DISC", "other data")
      }
      try p.prefer(replies == 8, "8 replies before the end (ambiguity A8)", "\(replies)")
    },
    Check("TX-032") { p in
      for (flags, offset, length): (UInt16, UInt64, UInt64) in [(0, 512, 512), (0x8000, 0, 0)] {
        let session = try p.transmission()
        try session.sendRequest(2, flags: flags, offset, length)
        try p.expectEnd(session)
      }
    },
    Check("TX-033") { p in
      try p.need(.sendFUA, "NBD_CMD_FLAG_FUA")
      let session = try p.transmission()
      try session.sendRequest(2, flags: CommandFlags.fua.rawValue)
      try p.expectEnd(session)
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
  /// The server closes without a byte.
  fileprivate func expectEnd(_ session: Session) throws {
    let (reply, isEnd) = session.end(64)
    try expect(isEnd && reply.isEmpty, "the end of the connection, and no reply", reply.isEmpty ? "an open connection" : "\(reply.count) bytes")
  }
}
