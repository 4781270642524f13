/// The end of the negotiation: the export as the transmission phase gets it, and the goodbye where there is none.
extension HandshakeMachine {
  /// Ends with an export. `option` is the one that named it, which also decides how to leave: the answer to
  /// `NBD_OPT_GO` or `NBD_OPT_EXPORT_NAME` has begun the transmission phase.
  mutating func finish(
    name: String, size: UInt64, flags: TransmissionFlags, information: ExportInformation? = nil,
    after option: OptionType
  ) throws(NBDError) {
    let export: Export
    do {
      export = try makeExport(name: name, size: size, flags: flags, information: information)
    } catch {
      sayGoodbye(after: option)
      throw error
    }
    if request.goal == .information {
      sayGoodbye(after: option)
      state = .finished(.information(export))
    } else {
      state = .finished(.transmission(export))
    }
  }

  /// Ends an errand that needed no export.
  mutating func leave(with outcome: Outcome) {
    sayGoodbye(after: nil)
    state = .finished(outcome)
  }

  /// The soft disconnect: `NBD_OPT_ABORT`, or `NBD_CMD_DISC` when `option` was the last one there can be.
  mutating func sayGoodbye(after option: OptionType?) {
    guard option == .go || option == .exportName else { return sendOption(.abort) }
    send(RequestHeader.softDisconnect.encoded(extended: terms.replies == .extended))
  }

  private mutating func makeExport(
    name: String, size: UInt64, flags: TransmissionFlags, information: ExportInformation?
  ) throws(NBDError) -> Export {
    guard size <= Limits.exportSize else {
      throw .unsupported("the export has \(size) bytes: this client's largest is \(Limits.exportSize) (2^63-1)")
    }
    var blockSizes = BlockSizes.unasked(exportSize: size)
    if let information {
      blockSizes = try information.blockSizes?.checked(exportSize: size) ?? .unadvertised
    }
    if blockSizes.isAdvertised && size % UInt64(blockSizes.minimum) != 0 {
      note("the export's size \(size) is not a multiple of its minimum block size \(blockSizes.minimum)")
    }
    return Export(
      name: name, size: size, flags: usable(flags), blockSizes: blockSizes, contexts: terms.contexts,
      replies: terms.replies, handshake: terms.handshake, isEncrypted: terms.isEncrypted,
      canonicalName: information?.canonicalName, description: information?.description)
  }

  /// `advertised` without the flags that make no sense after this negotiation.
  private mutating func usable(_ advertised: TransmissionFlags) -> TransmissionFlags {
    guard advertised.contains(.hasFlags) else {
      note("the server did not set NBD_FLAG_HAS_FLAGS: of its flags only NBD_FLAG_READ_ONLY is believed")
      return advertised.intersection(.readOnly)
    }
    var flags = advertised
    if terms.replies < .structured { flags.remove(.sendDF) }
    if terms.replies < .extended { flags.remove(.blockStatusPayload) }
    if !flags.contains(.sendWriteZeroes) { flags.remove(.sendFastZero) }
    return flags
  }
}
