import NBDProtocol

/// *Option types*: `NBD_OPT_LIST`; *Option reply types*: `NBD_REP_SERVER`.
extension Suite {
  static let list: [Check] = [
    Check("OPT-018") { p in
      let answer = try p.haggling().option(.list)
      try p.expect(answer.final != .unsupported, "NBD_OPT_LIST to be implemented", answer.summary)
    },
    Check("OPT-019") { p in
      let answer = try p.haggling().option(.list)
      try p.expect(
        answer.replies.dropLast().allSatisfy { $0.type == .server }, "NBD_REP_SERVER, and then NBD_REP_ACK or an error",
        answer.summary)
    },
    .observed("OPT-020") { p in try p.listed() },
    .observed("OPT-021") { p in try p.listed() },
    Check("OPT-022") { p in
      try p.need(p.facts.hasGo, "the server does not know NBD_OPT_INFO")
      let servers = try p.need(p.facts.servers, "the server does not list its exports")
      try p.need(!servers.isEmpty, "the list is empty")
      for server in servers.prefix(15) {
        let answer = try p.haggling().option(.info, p.information(name: server.name))
        let isFine = answer.isAcknowledged || [.tlsRequired, .policy, .blockSizeRequired].contains(answer.final)
        try p.expect(isFine, "NBD_REP_ACK to NBD_OPT_INFO for the listed name \(shown(server.name))", answer.summary)
      }
    },
    Check("OPT-023") { p in
      for data in [utf8("abcd"), Probe.pattern(8000)] {
        let session = try p.haggling()
        try p.breaking(session) {
          let answer = try session.option(.list, data)
          try p.expect(
            answer.final == .invalid || answer.final == .tooBig,
            "NBD_REP_ERR_INVALID to NBD_OPT_LIST with \(data.count) bytes of data", answer.summary)
          try p.inSync(session)
        }
      }
    },
    Check("OPT-024") { p in
      let answer = try p.haggling().option(.list)
      let isFine = answer.isAcknowledged || [.policy, .tlsRequired, .shutdown, .platform].contains(answer.final)
      try p.expect(isFine, "a list, or a refusal such as NBD_REP_ERR_POLICY", answer.summary)
    },
    Check("OPT-074") { p in
      let session = try p.haggling()
      let first = try session.option(.list)
      let second = try session.option(.list)
      try p.expect(first.replies == second.replies, "the same list again: \(first.summary)", second.summary)
    },
  ]
}

extension Probe {
  /// Has the server list its exports.
  fileprivate func listed() throws {
    try need(haggling().option(.list).isAcknowledged, "the server does not list its exports")
  }
}
