import NBDProtocol

/// A server that is told to end while a client is there. Only one that was started here can be told; it is started again.
extension Suite {
  static let shutdown: [Check] = [
    Check("OPT-012", isRisky: true) { p in
      let session = try p.haggling()
      _ = try session.option(.info, p.information())
      try p.terminate()
      try session.sendOption(.list)
      guard session.stream.hasMore(within: p.settings.timeout), !session.stream.hasEnded else {
        return try p.expect(false, "NBD_REP_ERR_SHUTDOWN, or an answer as before", "the end of the connection")
      }
      let answer = try session.optionAnswer(.list)
      try p.expect(answer.isAcknowledged || answer.final.isError, "NBD_REP_ERR_SHUTDOWN, or an answer as before", answer.summary)
    },
    Check("TX-068", isRisky: true) { p in
      let unit = p.facts.unit
      try p.need(size: 5 * unit)
      let session = try p.transmission()
      var all: [UInt8] = []
      for index: UInt64 in [0, 2, 4] { all += session.prepare(0, index * unit, unit).bytes }
      try session.send(all, "3 requests for \(unit) bytes each")
      try p.terminate()
      var replies = 0
      do {
        while replies < 3 {
          let (_, reply) = try session.nextReply()
          try p.expect(reply.isSuccess || reply.error == 108, "data or NBD_ESHUTDOWN", reply.summary)
          replies += 1
        }
      } catch let finding as Finding where session.hasMetItsEnd {
        try p.expect(false, "3 replies before the end", "\(replies): \(finding.found)")
      }
    },
  ]
}

extension Probe {
  /// Tells the server to end. It is another one for the next check.
  fileprivate func terminate() throws {
    try need(target.terminate(), "the server was not started here, as by [ CMD ]")
    transcript.add(0, .event, "the server is told to end")
    restartsServer = true
  }
}
