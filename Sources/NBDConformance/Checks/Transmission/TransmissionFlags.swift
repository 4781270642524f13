import NBDProtocol

/// *Transmission flags*: what an export says about itself, and whether that is so.
extension Suite {
  static let transmissionFlags: [Check] = [
    Check("TX-001") { p in
      let flags = try p.flags()
      try p.expect(flags & 1 == 1, "NBD_FLAG_HAS_FLAGS", "flags \(hex(flags))")
    },
    Check("TX-002") { p in
      let session = try p.transmission()
      try p.need(size: p.facts.unit)
      let commands: [(Command, TransmissionFlags)] = [(.flush, .sendFlush), (.trim, .sendTrim), (.writeZeroes, .sendWriteZeroes)]
      for (command, flag) in commands where p.facts.has(flag) {
        let reply = try session.request(command, 0, command == .flush ? 0 : p.facts.unit)
        try p.expect(reply.error != 22, "\(command) to be known, as it is advertised", reply.summary)
      }
    },
    Check("TX-003") { p in
      let flags = try p.need(p.facts.flags[.simple], "no way into the transmission phase")
      try p.expect(flags & 1 << 7 == 0, "no NBD_FLAG_SEND_DF without structured replies", "flags \(hex(flags))")
    },
    Check("TX-004") { p in
      let flags = try p.need(p.facts.flags[.structured], "the server has no structured replies")
      let session = try p.transmission(.structured)
      let length = min(p.facts.end, 65536)
      try p.need(length > 0, "the export is empty")
      try p.breaking(session) {
        let reply = try session.request(.read, flags: .dontFragment, 0, length)
        if flags & 1 << 7 != 0 {
          try p.expect(reply.isSuccess, "success of a read with DF, as NBD_FLAG_SEND_DF is set", reply.summary)
        } else {
          try p.expect(reply.error == 22, "NBD_EINVAL to a read with DF, as NBD_FLAG_SEND_DF is clear", reply.summary)
        }
      }
    },
    Check("TX-005") { p in
      let flags = try p.flags()
      try p.expect(
        flags & 1 << 11 == 0 || flags & 1 << 6 != 0, "NBD_FLAG_SEND_FAST_ZERO with NBD_FLAG_SEND_WRITE_ZEROES only",
        "flags \(hex(flags))")
    },
    Check("TX-006") { p in
      let flags = try p.flags()
      try p.prefer(flags & 0xf200 == 0, "clear bits 9, 12, 13, 14 and 15", "flags \(hex(flags))")
    },
    Check("EH-020") { p in
      for form in [ReplyForm.simple, .structured] {
        guard let flags = p.facts.flags[form] else { continue }
        try p.expect(flags & 1 << 12 == 0, "no NBD_FLAG_BLOCK_STATUS_PAYLOAD with \(form.name)", "flags \(hex(flags))")
      }
    },
    Check("TX-074") { p in
      try p.needAbsent(.sendResize, "NBD_FLAG_SEND_RESIZE")
      let session = try p.transmission()
      try p.breaking(session) {
        let reply = try session.request(number: 8, p.facts.size, 0)
        try p.expect(reply.error == 22, "NBD_EINVAL to the experimental NBD_CMD_RESIZE", reply.summary)
      }
    },
    Check("TX-075", isRisky: true) { p in
      try p.need(.sendResize, "NBD_FLAG_SEND_RESIZE")
      try p.need(p.facts.end <= .max - 65536, "the export cannot grow")
      let session = try p.transmission()
      let new = p.facts.end + 65536
      let reply = try session.request(number: 8, new, 0)
      try p.expect(
        [0, 1, 5, 28, 108].contains(reply.error), "success, NBD_EPERM, NBD_EIO, NBD_ENOSPC or NBD_ESHUTDOWN", reply.summary)
      guard reply.isSuccess else { return }
      let read = try session.request(.read, new - p.facts.unit, p.facts.unit)
      try p.expect(read.isSuccess, "data at the new end", read.summary)
    },
  ]
}

extension Probe {
  /// The flags of the simplest way in.
  fileprivate func flags() throws -> UInt16 {
    try need(!facts.flags.isEmpty, facts.obstacle ?? "no way into the transmission phase")
    return facts.simpleFlags
  }
}
