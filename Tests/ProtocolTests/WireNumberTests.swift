import Testing

@testable import NBDProtocol

/// Each number and its name, copied from proto.md's *Values* by hand: one wrong on either side is seen.
@Suite struct WireNumberTests {
  private func expectNames<Number: RawRepresentable & CustomStringConvertible>(
    _ type: Number.Type, _ names: KeyValuePairs<Number.RawValue, String>, sourceLocation: SourceLocation = #_sourceLocation
  ) where Number.RawValue: Equatable {
    for (number, name) in names {
      #expect(Number(rawValue: number)?.description == name, sourceLocation: sourceLocation)
    }
  }

  @Test func options() {
    expectNames(
      OptionType.self,
      [
        1: "NBD_OPT_EXPORT_NAME", 2: "NBD_OPT_ABORT", 3: "NBD_OPT_LIST", 5: "NBD_OPT_STARTTLS", 6: "NBD_OPT_INFO",
        7: "NBD_OPT_GO", 8: "NBD_OPT_STRUCTURED_REPLY", 9: "NBD_OPT_LIST_META_CONTEXT", 10: "NBD_OPT_SET_META_CONTEXT",
        11: "NBD_OPT_EXTENDED_HEADERS", 4096: "option 4096",
      ])
  }

  @Test func optionReplies() {
    expectNames(
      OptionReplyType.self,
      [
        1: "NBD_REP_ACK", 2: "NBD_REP_SERVER", 3: "NBD_REP_INFO", 4: "NBD_REP_META_CONTEXT",
        0x8000_0001: "NBD_REP_ERR_UNSUP", 0x8000_0002: "NBD_REP_ERR_POLICY", 0x8000_0003: "NBD_REP_ERR_INVALID",
        0x8000_0004: "NBD_REP_ERR_PLATFORM", 0x8000_0005: "NBD_REP_ERR_TLS_REQD", 0x8000_0006: "NBD_REP_ERR_UNKNOWN",
        0x8000_0007: "NBD_REP_ERR_SHUTDOWN", 0x8000_0008: "NBD_REP_ERR_BLOCK_SIZE_REQD",
        0x8000_0009: "NBD_REP_ERR_TOO_BIG", 0x8000_000a: "NBD_REP_ERR_EXT_HEADER_REQD",
        0x8000_beef: "option reply 0x8000beef",
      ])
    #expect(OptionReplyType(rawValue: 0x8000_beef).isError && !OptionReplyType(rawValue: 0x7fff_ffff).isError)
  }

  @Test func information() {
    expectNames(
      InfoType.self,
      [
        0: "NBD_INFO_EXPORT", 1: "NBD_INFO_NAME", 2: "NBD_INFO_DESCRIPTION", 3: "NBD_INFO_BLOCK_SIZE", 4: "information 4",
      ])
  }

  @Test func commands() {
    expectNames(
      Command.self,
      [
        0: "NBD_CMD_READ", 1: "NBD_CMD_WRITE", 2: "NBD_CMD_DISC", 3: "NBD_CMD_FLUSH", 4: "NBD_CMD_TRIM",
        5: "NBD_CMD_CACHE", 6: "NBD_CMD_WRITE_ZEROES", 7: "NBD_CMD_BLOCK_STATUS",
      ])
    #expect(Command.allCases.count == 8)
  }

  @Test func chunks() {
    expectNames(
      ChunkType.self,
      [
        0: "NBD_REPLY_TYPE_NONE", 1: "NBD_REPLY_TYPE_OFFSET_DATA", 2: "NBD_REPLY_TYPE_OFFSET_HOLE",
        5: "NBD_REPLY_TYPE_BLOCK_STATUS", 6: "NBD_REPLY_TYPE_BLOCK_STATUS_EXT", 0x8001: "NBD_REPLY_TYPE_ERROR",
        0x8002: "NBD_REPLY_TYPE_ERROR_OFFSET", 0xffff: "reply type 0xffff",
      ])
    #expect(ChunkType(rawValue: 0xffff).isError && !ChunkType(rawValue: 0x7fff).isError)
  }

  @Test func errors() {
    expectNames(
      NBDErrorCode.self,
      [
        1: "NBD_EPERM", 5: "NBD_EIO", 12: "NBD_ENOMEM", 22: "NBD_EINVAL", 28: "NBD_ENOSPC", 75: "NBD_EOVERFLOW",
        95: "NBD_ENOTSUP", 108: "NBD_ESHUTDOWN", 9999: "error 9999",
      ])
  }

  /// *Transmission flags*, *Command flags*, *Structured and extended header reply flags*, *`base:allocation`*.
  @Test func flagBits() {
    let transmission: [TransmissionFlags] = [
      .hasFlags, .readOnly, .sendFlush, .sendFUA, .rotational, .sendTrim, .sendWriteZeroes, .sendDF, .canMultiConn,
      .sendResize, .sendCache, .sendFastZero, .blockStatusPayload,
    ]
    #expect(transmission.map(\.rawValue) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
    let command: [CommandFlags] = [.fua, .noHole, .dontFragment, .requestOne, .fastZero, .payloadLength]
    #expect(command.map(\.rawValue) == [1, 2, 4, 8, 16, 32])
    #expect(ReplyFlags.done.rawValue == 1)
    #expect(AllocationFlags.hole.rawValue == 1 && AllocationFlags.zero.rawValue == 2)
  }
}
