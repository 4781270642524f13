import NBDProtocol

/// `NBD_FLAG_READ_ONLY`: nothing changes what the export holds. A server may say so and write all the same, so that without
/// `--write` it is asked to write what is there already.
extension Suite {
  static let readOnly: [Check] = [
    Check("TX-007") { p in
      let session = try p.writeProtected()
      let unit = p.facts.unit
      let data = try p.read(session, 0, Int(unit))
      try p.breaking(session) {
        let commands: [(Command, CommandFlags, UInt64)] = [
          (.write, .fua, 0), (.write, [], p.facts.end), (.trim, .fua, 0), (.writeZeroes, .noHole, 0),
        ]
        for (command, flags, offset) in commands.prefix(p.facts.isScratch ? 4 : 1) {
          let payload = command == .write ? data : []
          let reply = try session.request(command, flags: flags, offset, unit, payload: payload)
          try p.expect(!reply.isSuccess, "an error to \(command) on a read-only export", "success")
        }
        try p.stillReads(session)
      }
    },
    Check("TX-008") { p in
      let session = try p.writeProtected()
      let unit = p.facts.unit
      let data = try p.read(session, 0, Int(unit))
      try p.breaking(session) {
        let write = try session.request(.write, 0, unit, payload: data)
        try p.expect(write.error == 1, "NBD_EPERM to NBD_CMD_WRITE", write.summary)
        guard p.facts.isScratch else { return }
        let trim = try session.request(.trim, 0, unit)
        let isFine = trim.error == 1 || (trim.error == 22 && !p.facts.has(.sendTrim))
        try p.expect(isFine, "NBD_EPERM to NBD_CMD_TRIM", trim.summary)
      }
    },
    Check("TX-050", triesReadOnly: true) { p in
      let session = try p.writeProtected()
      try p.breaking(session) {
        let reply = try session.request(.writeZeroes, 0, p.facts.unit)
        let isFine = reply.error == 1 || (reply.error == 22 && !p.facts.has(.sendWriteZeroes))
        try p.expect(isFine, "NBD_EPERM to NBD_CMD_WRITE_ZEROES", reply.summary)
      }
    },
  ]
}

extension Probe {
  fileprivate func writeProtected() throws -> Session {
    let session = try transmission()
    try need(.readOnly, "NBD_FLAG_READ_ONLY")
    try need(size: facts.unit)
    return session
  }
}
