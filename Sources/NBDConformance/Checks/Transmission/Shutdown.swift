import NBDProtocol

/// A server that is told to end while a client is there. Only one that was started here can be told; it is started again.
extension Suite {
  static let shutdown: [Check] = [
    Check("OPT-012", isRisky: true) { p in
      let session = try p.haggling()
      _ = try session.option(.info, p.information())
      try p.terminate()
      let expected = "NBD_REP_ERR_SHUTDOWN, or an answer as before"
      try p.expect(!session.isHungUp(within: p.settings.grace), expected, "the end of the connection")
      try session.sendOption(.list)
      guard session.stream.hasMore(within: p.settings.timeout), !session.stream.hasEnded else {
        return try p.expect(false, expected, "the end of the connection")
      }
      let answer = try session.optionAnswer(.list)
      try p.expect(answer.isAcknowledged || answer.final.isError, expected, answer.summary)
    },
    // What no socket's buffer holds is in flight until it is read here: no race decides what the server is in the middle of.
    Check("TX-068", isRisky: true) { p in
      let length = min(8 << 20, p.facts.maximum, p.facts.end) / p.facts.minimum * p.facts.minimum
      try p.need(length >= 1 << 20, "the export is smaller than a MiB")
      let session = try p.transmission()
      var all: [UInt8] = []
      for _ in 0..<3 { all += session.prepare(0, 0, length).bytes }
      try session.send(all, "3 requests for \(length) bytes each")
      guard session.stream.hasMore(within: p.settings.timeout) else { throw p.broken("the first byte of a reply", "nothing") }
      // The other two are taken from the socket meanwhile, by a server that does several things at once.
      _ = session.isHungUp(within: p.settings.quiet)
      try p.terminate()
      _ = session.isHungUp(within: p.settings.grace)
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
