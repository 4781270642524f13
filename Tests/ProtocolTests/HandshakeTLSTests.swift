import Testing

@testable import NBDProtocol

/// `NBD_OPT_STARTTLS` in the negotiation: before everything else, and nothing that was said before it counts (*TLS support*).
@Suite struct HandshakeTLSTests {
  private static let greeted = Server.greeting()
  private static let asksForTLS = Client.flags(3) + Client.option(5)
  private static let export = Server.infoExport(size: 4096, flags: 1) + Server.ack(7)

  private func machine(_ policy: TLSPolicy, _ request: HandshakeRequest = .direct()) throws -> HandshakeMachine {
    var request = request
    request.tls = policy
    return try HandshakeMachine(request)
  }

  private func error(_ machine: inout HandshakeMachine, _ bytes: [UInt8]) -> NBDError? {
    do throws(NBDError) {
      try machine.receive(bytes.span.bytes)
      return nil
    } catch { return error }
  }

  // TLS-032, TLS-033, TLS-034, TLS-036, TLS-039, TLS-040, TLS-044
  @Test(arguments: [TLSPolicy.allow, .require])
  func tlsComesBeforeEveryOtherOption(policy: TLSPolicy) throws {
    var machine = try machine(policy)
    #expect(error(&machine, Self.greeted) == nil)
    #expect(machine.takeOutput() == Self.asksForTLS && !machine.wantsTLS)
    #expect(error(&machine, Server.ack(5)) == nil)
    #expect(machine.wantsTLS && machine.takeOutput() == [] && machine.awaited == "TLS")
    machine.tlsEstablished()
    #expect(!machine.wantsTLS && machine.takeOutput() == Client.go("disk"))
    #expect(error(&machine, Self.export) == nil)
    guard case .transmission(let export) = machine.outcome else {
      Issue.record("no export")
      return
    }
    #expect(export.isEncrypted && export.size == 4096)
  }

  @Test func withoutItNothingIsEncrypted() throws {
    var machine = try machine(.off)
    #expect(error(&machine, Self.greeted) == nil)
    #expect(machine.takeOutput() == Client.flags(3) + Client.go("disk"))
    machine.tlsEstablished()
    #expect(error(&machine, Self.export) == nil)
    guard case .transmission(let export) = machine.outcome else {
      Issue.record("no export")
      return
    }
    #expect(!export.isEncrypted)
  }

  // Each cut of the stream: the machine waits for TLS after the last byte of the acknowledgement, and no earlier.
  @Test func itIsWantedAfterTheWholeAcknowledgement() throws {
    let bytes = Self.greeted + Server.ack(5)
    for cut in bytes.indices {
      var machine = try machine(.require)
      #expect(error(&machine, Array(bytes[..<cut])) == nil)
      #expect(!machine.wantsTLS, "at \(cut)")
      #expect(error(&machine, Array(bytes[cut...])) == nil)
      #expect(machine.wantsTLS, "at \(cut)")
    }
  }

  // TLS-045, RB-083, RB-086, CVE-2021-3716: what somebody appends to the acknowledgement is not taken for the server's once the rest is encrypted.
  @Test(arguments: [[0], Server.ack(7), Self.export], [false, true])
  func bytesInTheClearAfterTheAcknowledgementAreAViolation(extra: [UInt8], isApart: Bool) throws {
    var machine = try machine(.require)
    if isApart {
      #expect(error(&machine, Self.greeted + Server.ack(5)) == nil)
      #expect(error(&machine, extra) != nil)
    } else {
      #expect(error(&machine, Self.greeted + Server.ack(5) + extra) != nil)
    }
    #expect(machine.takeOutput() == Self.asksForTLS)
    guard case .violation(let violation) = error(&machine, [0]) else {
      Issue.record("no violation")
      return
    }
    #expect(violation.description.contains("in the clear"))
    #expect(!machine.wantsTLS)
    machine.tlsEstablished()
    #expect(machine.outcome == nil && machine.takeOutput() == [])
  }

  // TLS-035, TLS-049
  @Test(arguments: [1, 2, 3, 4, 6, 8, 9, 0xbeef] as [UInt32])
  func aRefusalEndsWhatRequiresIt(number: UInt32) throws {
    var machine = try machine(.require)
    guard case .refused(.startTLS, _, _) = error(&machine, Self.greeted + Server.error(5, number)) else {
      Issue.record("not refused")
      return
    }
    // Nothing but the goodbye: neither the export's name nor anything else is told.
    #expect(machine.takeOutput() == Self.asksForTLS + Client.abort)
  }

  @Test(arguments: [1, 2, 3, 4, 6, 0xbeef] as [UInt32])
  func aRefusalIsNotedByWhatAllowsIt(number: UInt32) throws {
    var machine = try machine(.allow)
    #expect(error(&machine, Self.greeted + Server.error(5, number)) == nil)
    #expect(machine.takeOutput() == Self.asksForTLS + Client.go("disk"))
    #expect(machine.notes.contains { $0.hasPrefix("no TLS") })
    #expect(error(&machine, Self.export) == nil)
    guard case .transmission(let export) = machine.outcome else {
      Issue.record("no export")
      return
    }
    #expect(!export.isEncrypted)
  }

  @Test func anAnswerThatIsNoneIsAViolation() throws {
    let answers: [[UInt8]] = [
      Server.reply(5, 1, [0]), Server.reply(5, 2), Server.reply(5, 3, be16(0)), Server.reply(5, 77), Server.ack(7), Server.ack(8),
      join(be64(0x3e889045565a8), be32(5), be32(1), be32(0)),
    ]
    for policy in [TLSPolicy.allow, .require] {
      for answer in answers {
        var machine = try machine(policy)
        guard case .violation = error(&machine, Self.greeted + answer) else {
          Issue.record("\(answer)")
          continue
        }
        #expect(!machine.wantsTLS)
      }
    }
  }

  // TLS-031
  @Test func aServerWithoutOptionsIsNotTalkedTo() throws {
    for greeting in [Server.greeting(0), Server.greeting(2), Server.oldstyle(size: 4096, flags: 1)] {
      var strict = try machine(.require)
      guard case .unsupported(let reason) = error(&strict, greeting) else {
        Issue.record("\(greeting)")
        continue
      }
      #expect(reason.contains("TLS is required") && strict.takeOutput() == [])
      var lenient = try machine(.allow)
      #expect(error(&lenient, greeting) == nil)
    }
  }

  // RB-085
  @Test func aServerThatWantsTLSInsideTLSIsLeft() throws {
    var machine = try machine(.require)
    #expect(error(&machine, Self.greeted + Server.ack(5)) == nil)
    machine.tlsEstablished()
    _ = machine.takeOutput()
    guard case .refused(.go, .tlsRequired, _) = error(&machine, Server.error(7, 5)) else {
      Issue.record("not refused")
      return
    }
    #expect(machine.takeOutput() == Client.abort && !machine.wantsTLS)
  }

  // TLS-043: the clear text decides nothing: its length of the answer to the older option may be somebody else's.
  @Test func theOlderOptionIsNotUsedOverTLS() throws {
    var machine = try machine(.require)
    #expect(error(&machine, Self.greeted + Server.ack(5)) == nil)
    machine.tlsEstablished()
    guard case .refused(.go, _, _) = error(&machine, Server.error(7, 1)) else {
      Issue.record("not refused")
      return
    }
  }

  @Test func theEndWhileTLSIsAwaitedIsAnError() throws {
    var machine = try machine(.require)
    #expect(error(&machine, Self.greeted + Server.ack(5)) == nil)
    #expect("\(machine.receivedEndOfStream())".contains("after it had agreed to TLS"))
    #expect(!machine.wantsTLS)
  }

  @Test func aReplacementIsAsStrict() {
    let secret = Export(name: "", size: 1, flags: [], isEncrypted: true)
    let open = Export(name: "", size: 1, flags: [])
    #expect(open.difference(from: secret, isReadOnly: false)?.contains("encrypted") == true)
    #expect(secret.difference(from: secret, isReadOnly: false) == nil && secret.difference(from: open, isReadOnly: false) == nil)
  }
}
