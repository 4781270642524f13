import NBDProtocol

/// `NBD_FLAG_READ_ONLY`: nothing changes what the export holds.
extension Suite {
  static let readOnly: [Check] = [
    Check("TX-007") { p in
      let session = try p.writeProtected()
      let unit = p.facts.unit
      try p.breaking(session) {
        for (command, flags, offset) in [
          (Command.write, CommandFlags.fua, 0), (.write, [], p.facts.end), (.trim, .fua, 0), (.writeZeroes, .noHole, 0),
        ] {
          let payload = command == .write ? Probe.pattern(Int(unit)) : []
          let reply = try session.request(command, flags: flags, offset, unit, payload: payload)
          try p.expect(!reply.isSuccess, "an error to \(command) on a read-only export", "success")
        }
        try p.stillReads(session)
      }
    },
    Check("TX-008") { p in
      let session = try p.writeProtected()
      let unit = p.facts.unit
      let write = try session.request(.write, 0, unit, payload: Probe.pattern(Int(unit)))
      try p.expect(write.error == 1, "NBD_EPERM to NBD_CMD_WRITE", write.summary)
      let trim = try session.request(.trim, 0, unit)
      let isFine = trim.error == 1 || (trim.error == 22 && !p.facts.has(.sendTrim))
      try p.expect(isFine, "NBD_EPERM to NBD_CMD_TRIM", trim.summary)
    },
    Check("TX-050") { p in
      let session = try p.writeProtected()
      let reply = try session.request(.writeZeroes, 0, p.facts.unit)
      let isFine = reply.error == 1 || (reply.error == 22 && !p.facts.has(.sendWriteZeroes))
      try p.expect(isFine, "NBD_EPERM to NBD_CMD_WRITE_ZEROES", reply.summary)
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
