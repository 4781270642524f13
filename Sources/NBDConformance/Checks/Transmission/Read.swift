import NBDProtocol

/// *Request types*: `NBD_CMD_READ`, answered by simple replies.
extension Suite {
  static let read: [Check] = [
    Check("TX-018") { p in
      let session = try p.transmission()
      let step = p.facts.minimum
      for length: UInt64 in [1, 511, 512, 4096, 1 << 20]
      where length % step == 0 && length <= p.facts.end && length <= p.facts.maximum {
        for offset in [0, step, p.facts.end - length] where offset + length <= p.facts.end && offset % step == 0 {
          let reply = try session.request(.read, offset, length)
          try p.expect(reply.data(offset, Int(length)) != nil, "\(length) bytes at \(offset)", reply.summary)
        }
      }
      try p.stillReads(session)
    },
    Check("TX-019") { p in
      let session = try p.transmission()
      try p.breaking(session) {
        let reply = try session.request(.read, p.facts.lastUnit, 5 * p.facts.unit)
        try p.need(!reply.isSuccess, "a read beyond the end succeeds")
        try p.expect(session.isQuiet(), "nothing behind the error", "more bytes")
      }
    },
    Check("TX-020") { p in
      let session = try p.transmission()
      try p.breaking(session) {
        let reply = try session.request(.read, p.facts.end, 4 * p.facts.unit)
        try p.expect(!reply.isSuccess, "an error to a read beyond the end", "success")
        try p.stillReads(session)
      }
    },
    Check("TX-021") { p in
      let session = try p.transmission()
      try p.breaking(session) {
        for (offset, length) in p.facts.outside {
          let reply = try session.request(.read, offset, length)
          try p.expect(reply.error == 22, "NBD_EINVAL to a read of \(length) bytes at \(offset)", reply.summary)
        }
        try p.stillReads(session)
      }
    },
    Check("TX-022") { p in
      let session = try p.transmission()
      try p.staying(session) {
        for offset in [0, p.facts.end] { _ = try session.request(.read, offset, 0) }
        try p.stillReads(session)
      }
    },
    Check("TX-023") { p in
      let session = try p.transmission()
      let data = Probe.pattern(Int(p.facts.unit), 11)
      try p.need(size: p.facts.unit)
      try p.write(session, 0, data)
      try p.expect(p.read(session, 0, data.count) == data, "what was written", "other data")
      if p.target.hasServerForEachConnection { return }
      if p.facts.has(.sendFlush) { _ = try session.request(.flush) }
      try session.sendRequest(2)
      _ = session.end(16)
      try p.expect(p.read(p.transmission(), 0, data.count) == data, "what was written, on a new connection", "other data")
    },
  ]
}
