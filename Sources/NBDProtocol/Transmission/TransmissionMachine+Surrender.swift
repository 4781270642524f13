/// The end of a connection: what it leaves behind.
extension TransmissionMachine {
  /// The bytes that the server may still change when nothing more is sent: whole blocks of operations that were sent, at least
  /// in part, and have no reply.
  package var mutationsInFlight: [Range<UInt64>] {
    var ranges: [Range<UInt64>] = []
    for index in 0..<CommandTable.capacity where commands[index].pointee.isActive {
      let slot = commands[index].pointee
      guard slot.purpose == .whole, slot.command.mutates, fate(of: slot) == .inDoubt else { continue }
      ranges.append(slot.offset..<(slot.offset + slot.length))
    }
    for index in transfers.indices {
      guard let transfer = transfers[index], transfer.operation.command.mutates, transfer.stage != .waiting else { continue }
      ranges.append(transfer.lower..<transfer.upper)
    }
    return ranges
  }

  /// What the server may know of a command.
  private func fate(of slot: CommandSlot) -> ReturnedOperation.Fate { slot.headerEnd <= output.sent ? .inDoubt : .unsent }

  /// Gives back every operation that is not complete, because the connection has ended; the machine must not be used
  /// afterwards. Each comes once: in the order in which they were sent those that are one command, and then the others.
  ///
  /// - Parameters:
  ///   - completed: what had ended, and was not taken with ``next()``.
  package mutating func surrender(completed: (Completion) -> Void, _ take: (ReturnedOperation) -> Void) {
    while finishedTaken < finished.count {
      completed(finished[finishedTaken])
      finishedTaken += 1
    }
    var whole: [Int] = []
    for index in 0..<CommandTable.capacity where commands[index].pointee.isActive {
      if commands[index].pointee.purpose == .whole { whole.append(index) }
    }
    whole.sort { [commands = commands.base] in commands[$0].headerEnd < commands[$1].headerEnd }
    for index in whole {
      let slot = commands[index].pointee
      unreserve(slot.operation)
      take(ReturnedOperation(operation: slot.operation, fate: fate(of: slot)))
    }
    for operation in refused { take(ReturnedOperation(operation: operation, fate: .unsent)) }
    for transfer in transfers.removeAll() {
      unreserve(transfer.original)
      take(ReturnedOperation(operation: transfer.original, fate: transfer.hasBegun ? .inDoubt : .unsent))
    }
    forget()
  }

  /// What was in flight is no load any more, for whoever still asks.
  private mutating func forget() {
    for index in 0..<CommandTable.capacity where commands[index].pointee.isActive { commands.release(index) }
    largeReads = 0
    payload = 0
    output.removeAll()
    refused = []
    unsentReplied = []
    coverage = [:]
    statusReplies = [:]
    extentsHeld = 0
  }
}

extension CommandSlot {
  /// The operation, where the command is all of it.
  var operation: Operation {
    Operation(command, flags: flags, offset: offset, length: length, buffer: buffer, token: token)
  }
}
