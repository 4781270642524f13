/// Whether one connection's export can take the place of another's.
extension Export {
  /// What makes this export unfit to go on with, after `old`: one line for a person, with what it is and what it was; nil where nothing
  /// does.
  ///
  /// - Parameter isReadOnly: nobody writes to it.
  package func difference(from old: Export, isReadOnly: Bool) -> String? {
    if old.isEncrypted, !isEncrypted { return "it is not encrypted any more" }
    if size != old.size { return "its size is \(size) bytes, and was \(old.size)" }
    if !isReadOnly, !old.isReadOnly, self.isReadOnly { return "it is read-only, and was not" }
    let needed: [(TransmissionFlags, String)] = [
      (.sendFlush, "flush"), (.sendFUA, "FUA"), (.canMultiConn, "several connections"), (.sendTrim, "trim"),
      (.sendWriteZeroes, "write zeroes"), (.sendFastZero, "fast zero"), (.sendCache, "cache"), (.sendDF, "unfragmented reads"),
    ]
    let writing: TransmissionFlags = [.sendFlush, .sendFUA, .sendTrim, .sendWriteZeroes, .sendFastZero]
    for (flag, name) in needed where old.flags.contains(flag) && !flags.contains(flag) {
      // What nobody asks of a read-only export is not missed.
      if !isReadOnly || !writing.contains(flag) { return "it does not offer \(name) any more" }
    }
    if blockSizes.minimum > old.blockSizes.minimum {
      return "its minimum block size is \(blockSizes.minimum) bytes, and was \(old.blockSizes.minimum)"
    }
    for context in old.contexts where self.context(named: context.name) == nil {
      return "it does not offer the metadata context \(printable(context.name)) any more"
    }
    return nil
  }
}
