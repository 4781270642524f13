import NBDProtocol

/// *Option types*: `NBD_OPT_INFO` and `NBD_OPT_GO` with names that no export has, and with data that makes no sense;
/// *Conventions* on strings.
extension Suite {
  static let informationErrors: [Check] = [
    Check("OPT-046") { p in
      try p.needNames()
      for option in [OptionType.info, .go] {
        let answer = try p.haggling().option(option, p.information(name: Probe.strangeName))
        let isFine = answer.final == .unknownExport || (p.facts.tls != .none && !p.facts.usesTLS && answer.final == .tlsRequired)
        try p.expect(isFine, "NBD_REP_ERR_UNKNOWN to \(option)", answer.summary)
      }
    },
    Check("OPT-047") { p in
      try p.needNames()
      for option in [OptionType.info, .go] {
        let answer = try p.haggling().option(option, p.information([1, 2, 3], name: Probe.strangeName))
        try p.expect(answer.data(.info).isEmpty, "no NBD_REP_INFO about an unknown export", answer.summary)
      }
    },
    Check("OPT-048") { p in
      for length in [UInt32(p.facts.exportName.count) + 50, .max] {
        try p.malformed("a name of \(length) bytes, which does not fit") {
          bytes(length) + p.facts.exportName + bytes(UInt16(0))
        }
      }
    },
    Check("OPT-049") { p in
      for count in [0, 1, 5] {
        try p.malformed("\(count) bytes of data") { Array(repeating: 0, count: count) }
      }
    },
    Check("OPT-050") { p in
      try p.malformed("4 requests announced and 1 there") {
        bytes(UInt32(p.facts.exportName.count)) + p.facts.exportName + bytes(UInt16(4)) + bytes(UInt16(3))
      }
    },
    Check("OPT-051") { p in
      try p.malformed("1 request announced and 2 there", mayAcknowledge: true) {
        bytes(UInt32(p.facts.exportName.count)) + p.facts.exportName + bytes(UInt16(1)) + bytes(UInt16(3)) + bytes(UInt16(0))
      }
      try p.malformed("a byte behind the requests", mayAcknowledge: true) { p.information([3]) + [0] }
    },
    Check("OPT-058") { p in
      let session = try p.haggling()
      let answer = try session.option(.info, p.information(name: Array(repeating: UInt8(ascii: "a"), count: 4096)))
      try p.expect(
        answer.final != .invalid && answer.final != .tooBig, "NBD_REP_ERR_UNKNOWN, or NBD_REP_ACK, for a name of 4096 bytes",
        answer.summary)
      try p.inSync(session)
    },
    Check("OPT-059") { p in
      for count in [4097, 40000] {
        let session = try p.haggling()
        try p.breaking(session) {
          let answer = try session.option(.info, p.information(name: Array(repeating: UInt8(ascii: "a"), count: count)))
          try p.expect(answer.final.isError, "an error to a name of \(count) bytes", answer.summary)
          try p.inSync(session)
        }
      }
    },
    Check("OPT-060") { p in
      for name in [utf8("a\0b"), p.facts.exportName + utf8("\0junk")] {
        let session = try p.haggling()
        try p.breaking(session) {
          let answer = try session.option(.info, p.information(name: name))
          try p.expect(answer.final.isError, "an error to a name with a NUL in it", answer.summary)
          try p.inSync(session)
        }
      }
    },
    Check("OPT-061") { p in
      try p.needNames()
      let session = try p.haggling()
      try p.breaking(session) {
        let answer = try session.option(.info, p.information(name: [0xff, 0xfe]))
        try p.expect(answer.final.isError, "an error to a name that is no UTF-8", answer.summary)
        try p.inSync(session)
      }
    },
  ]
}

extension Probe {
  fileprivate func needNames() throws {
    try need(facts.hasGo, "the server does not know NBD_OPT_INFO")
    try need(!facts.acceptsAnyName, "the server accepts any name")
  }

  /// `NBD_OPT_INFO` with data that cannot be parsed: an error, and the next option is understood.
  fileprivate func malformed(_ what: String, mayAcknowledge: Bool = false, _ data: () -> [UInt8]) throws {
    try need(facts.hasGo, "the server does not know NBD_OPT_INFO")
    let session = try haggling()
    try breaking(session) {
      let answer = try session.option(.info, data())
      let isFine = answer.final == .invalid || answer.final == .tooBig || (mayAcknowledge && answer.isAcknowledged)
      try expect(isFine, "NBD_REP_ERR_INVALID to \(what)", answer.summary)
      try inSync(session)
    }
  }
}
