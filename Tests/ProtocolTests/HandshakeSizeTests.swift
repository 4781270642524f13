import Testing

@testable import NBDProtocol

/// Sizes of exports and blocks, as the server claims them.
@Suite struct HandshakeSizeTests {
  private func negotiate(size: UInt64, _ minimum: UInt32, _ preferred: UInt32, _ maximum: UInt32) throws -> Transcript {
    try replay(
      .direct(),
      join(
        Server.greeting(), Server.infoExport(size: size, flags: 1), Server.infoSizes(minimum, preferred, maximum),
        Server.ack(7)))
  }

  // RB-023, RB-025, A30
  @Test(arguments: [0, 1, 511, 1 << 62, (1 << 63) - 1] as [UInt64])
  func everySizeThatAFileCanHaveIsTaken(size: UInt64) throws {
    let answers = Server.infoExport(size: size, flags: 1) + Server.ack(7)
    #expect(try go(answers).export?.size == size)
    #expect(try replay(.direct(), Server.greeting(2) + be64(size) + be16(1)).export?.size == size)
    #expect(try replay(.direct(""), Server.oldstyle(size: size, flags: 1)).export?.size == size)
  }

  // RB-023: the transmission phase has begun, so the goodbye is DISC.
  @Test(arguments: [1 << 63, UInt64.max] as [UInt64])
  func largerExportsAreRefusedWithAReason(size: UInt64) throws {
    let answer = Server.infoExport(size: size, flags: 1) + Server.ack(7)
    let message = "the export has \(size) bytes: this client's largest is 9223372036854775807 (2^63-1)"
    #expect(try go(answer, goodbye: [.client(Client.disconnect)]).error == .unsupported(message))
    #expect(try replay(.direct(), Server.greeting(2) + be64(size) + be16(1)).error == .unsupported(message))
    #expect(try replay(.direct(""), Server.oldstyle(size: size, flags: 1)).error == .unsupported(message))

    let information = try converse(
      .direct(goal: .information),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.go("disk", option: 6)),
        .server(Server.infoExport(size: size, flags: 1, option: 6) + Server.ack(6)), .client(Client.abort),
      ])
    #expect(information.error == .unsupported(message))

    let extended = try converse(
      HandshakeRequest(exportName: "disk", contexts: []),
      [
        .server(Server.greeting()), .client(Client.flags(3) + Client.option(11)), .server(Server.ack(11)),
        .client(Client.go("disk")), .server(answer), .client(Client.disconnectExtended),
      ])
    #expect(extended.error == .unsupported(message))
  }

  // OPT-091, SZ-017
  @Test(arguments: [777, 1 << 20] as [UInt64]) func withoutAdvertisedSizesTheDefaultsHold(size: UInt64) throws {
    #expect(try go(Server.infoExport(size: size, flags: 1), Server.ack(7)).export?.blockSizes == .unadvertised)
  }

  // SZ-025, as far as they are allowed: size, minimum, preferred, maximum.
  @Test(arguments: [
    (1 << 20, 1, 512, 512), (1 << 20, 1, 512, 513), (1 << 20, 512, 512, 1 << 25), (1 << 20, 65536, 65536, 65536),
    (1 << 20, 1, 1 << 31, 0xffff_ffff), (1 << 20, 4096, 1 << 20, 0xffff_ffff), (1 << 20, 1, 4096, 1_000_000),
  ] as [(UInt64, UInt32, UInt32, UInt32)])
  func allowedBlockSizesAreTaken(size: UInt64, minimum: UInt32, preferred: UInt32, maximum: UInt32) throws {
    let transcript = try negotiate(size: size, minimum, preferred, maximum)
    #expect(
      transcript.export?.blockSizes
        == BlockSizes(minimum: minimum, preferred: preferred, maximumPayload: maximum))
    #expect(transcript.notes == [])
  }

  // Servers cut the maximum down to a small export. BlockSizes promises at least the preferred size.
  @Test(arguments: [(512, 512), (100, 100), (0, 0), (0, 1), (100, 4095)] as [(UInt64, UInt32)])
  func aMaximumAsLargeAsASmallExportIsEnough(size: UInt64, maximum: UInt32) throws {
    let transcript = try negotiate(size: size, 1, 4096, maximum)
    #expect(transcript.export?.blockSizes.maximumPayload == 4096)
  }

  // SZ-025
  @Test(arguments: [
    (0, 4096, 1 << 25, "minimum"), (3, 4096, 1 << 25, "minimum"), (131072, 131072, 1 << 25, "minimum"),
    (0xffff_ffff, 4096, 1 << 25, "minimum"), (1, 0, 1 << 25, "preferred"), (1, 256, 1 << 25, "preferred"),
    (1, 4097, 1 << 25, "preferred"), (4096, 512, 1 << 25, "preferred"), (1, 0xffff_ffff, 0xffff_ffff, "preferred"),
    (1, 4096, 0, "maximum"), (1, 4096, 512, "maximum"), (1, 4096, 4095, "maximum"),
  ] as [(UInt32, UInt32, UInt32, String)])
  func forbiddenBlockSizesEndTheHandshake(
    minimum: UInt32, preferred: UInt32, maximum: UInt32, culprit: String
  ) throws {
    let transcript = try go(
      Server.infoSizes(minimum, preferred, maximum), Server.infoExport(size: 1 << 20, flags: 1), Server.ack(7),
      goodbye: [.client(Client.disconnect)])
    let message = try #require(transcript.violation)
    #expect(message.hasPrefix("the \(culprit) ") && message.contains("expected") && message.contains("found"))
  }

  @Test func anEndThatNoBlockReachesIsNoted() throws {
    let transcript = try negotiate(size: 5000, 4096, 4096, 1 << 20)
    #expect(transcript.export?.size == 5000)
    #expect(transcript.notes == ["the export's size 5000 is not a multiple of its minimum block size 4096"])
  }
}
