// Exports and operations for tests of the transmission phase.

@testable import NBDProtocol

extension Operation {
  /// An operation to be checked and not to be carried out.
  static func unsent(_ command: Command, flags: CommandFlags = [], offset: UInt64 = 0, length: UInt64 = 0) -> Operation {
    Operation(
      command, flags: flags, offset: offset, length: length, buffer: UnsafeMutableRawPointer(bitPattern: 4096),
      token: Token(.source, 0))
  }
}

extension Export {
  /// An export for tests of the transmission phase.
  static func test(
    _ replies: ReplyForm = .structured, size: UInt64 = 1 << 20, flags: TransmissionFlags = .everything,
    minimum: UInt32 = 1, maximum: UInt32 = 1 << 25, contexts: [UInt32] = [7]
  ) -> Export {
    Export(
      name: "", size: size, flags: flags,
      blockSizes: BlockSizes(minimum: minimum, preferred: max(minimum, 4096), maximumPayload: maximum),
      contexts: replies == .simple ? [] : contexts.map { MetadataContext(id: $0, name: "test:\($0)") }, replies: replies)
  }

  static func chunked(_ form: ChunkForm, size: UInt64 = 1 << 20, contexts: [UInt32] = [7]) -> Export {
    test(form == .structured ? .structured : .extended, size: size, contexts: contexts)
  }
}

extension TransmissionFlags {
  /// All that an export can advertise, but read-only.
  static let everything: TransmissionFlags = [
    .hasFlags, .sendFlush, .sendFUA, .sendTrim, .sendWriteZeroes, .sendDF, .canMultiConn, .sendCache, .sendFastZero,
  ]
}
