@testable import NBDProtocol

/// Operations in flight, and a server that mostly answers what it was asked: out of order, in pieces, twice, with errors, with
/// numbers that are slightly or completely wrong.
///
/// Each operation ends once. A read that succeeds has exactly what the server sent for it, a write puts exactly what its caller
/// wrote on the wire, and a server that keeps to the protocol gets every operation to its end (``FuzzServer``).
///
/// The input is 4 bytes for the export (``Export/init(choices:)``), one whose lowest bit leaves reads without a buffer of their
/// own, and then steps:
///
/// | byte % 8 | step                                                                                               |
/// |---------:|----------------------------------------------------------------------------------------------------|
/// |        0 | an operation: command, flags, offset 4 bytes, length, its unit                                     |
/// |        1 | the client sends 2 bytes' worth, 0 is all                                                          |
/// |        2 | so many bytes of what the server has said come, 0 is all                                           |
/// |   3 to 7 | the server says something about a request: which, ``FuzzServer/Words``, and what that takes        |
func fuzzReplies(_ input: FuzzInput) {
  var input = input
  let export = Export(choices: input.word())
  var server = FuzzServer(export)
  var session = MachineSession(export, isBufferless: input.byte() & 1 == 1)
  for _ in 0..<400 where !input.isEmpty && session.violation == nil {
    switch input.byte() % 8 {
    case 0:
      guard session.asks.count < 48, let ask = Ask(&input, export) else { continue }
      session.submit(ask)
      if ask.command == .writeZeroes { server.zeroes.append(ask.offset..<(ask.offset + ask.length)) }
    case 1:
      let most = Int(input.pair())
      _ = session.takeOutput(most == 0 ? .max : most)
      server.take(&session.reader)
    case 2:
      let most = Int(input.byte())
      session.receive(server.said(most == 0 ? .max : most))
    default: server.say(&input)
    }
    if session.isStuck { fault("what has come could have been parsed") }
  }
  finish(&session, &server)
  if let violation = session.violation { check(.violation(violation)) }
  session.fail()
  check(session, server)
}

/// A server that has kept to the protocol so far answers everything, and then nothing may be left.
private func finish(_ session: inout MachineSession, _ server: inout FuzzServer) {
  if session.violation == nil { session.receive(server.said(.max)) }
  guard session.violation == nil, !server.isBroken else { return }
  // A transfer has some commands in flight at a time, and an operation is a few hundred blocks at most.
  for _ in 0..<100_000 {
    while !session.takeOutput().isEmpty {}
    server.take(&session.reader)
    guard server.answerNext() else { break }
    session.receive(server.said(.max))
  }
  if let violation = session.violation { fault("a server that keeps to the protocol: \(violation)") }
  for (number, outcomes) in session.outcomes.enumerated() where outcomes.isEmpty {
    fault("all was answered, and an operation has not ended: \(session.asks[number])")
  }
  if !server.hasFailed, let number = session.outcomes.firstIndex(where: { !$0.allSatisfy(\.isSuccess) }) {
    fault("nothing failed but \(session.asks[number]): \(session.outcomes[number])")
  }
}

private func check(_ session: borrowing MachineSession, _ server: FuzzServer) {
  let export = server.export
  for (number, ask) in session.asks.enumerated() {
    let outcomes = session.outcomes[number]
    if outcomes.count != 1 { fault("\(ask) ended as \(outcomes)") }
    if case .failed(let code) = outcomes.first, code.rawValue == 0 { fault("\(ask) failed with error 0") }
    guard outcomes.first?.isSuccess == true else { continue }
    if ask.command == .read, ask.length > 0, !server.isBroken {
      guard let data = session.data[number] else { return fault("\(ask) has no data") }
      server.checkRead(ask, data)
    }
    if ask.command == .blockStatus {
      let extents = session.extents[number] ?? []
      if extents.count != export.contexts.count { fault("\(ask): \(extents.count) lists of extents") }
      for list in extents { check(list, ask, export) }
    }
  }
}

/// Of each context at least one extent, from the request on, without gaps, inside the export.
private func check(_ extents: [Extent], _ ask: Ask, _ export: Export) {
  var cursor = extents.first?.offset ?? 0
  if ask.length > 0, extents.isEmpty || cursor > ask.offset { fault("\(ask) begins with \(extents.prefix(1))") }
  for extent in extents {
    if extent.length == 0 || extent.offset != cursor || extent.end > export.reachableSize { fault("\(ask): \(extent) at \(cursor)") }
    cursor = extent.end
  }
}

extension Export {
  /// From the top: the form of replies, the minimum and the maximum, what is not advertised (a bit each), contexts and size.
  init(choices: UInt32) {
    let form = ReplyForm.allForms[Int(choices >> 24) % 3]
    let minimum: UInt32 = [1, 512, 4096, 65536][Int(choices >> 20 & 3)]
    let maximum: UInt32 = max([4096, 8192, 65536, 1 << 25][Int(choices >> 16 & 3)], minimum)
    let optional: [TransmissionFlags] = [
      .sendFlush, .sendFUA, .sendTrim, .sendWriteZeroes, .sendDF, .sendCache, .sendFastZero,
    ]
    var flags = TransmissionFlags.everything
    for (bit, flag) in optional.enumerated() where choices >> (8 + UInt32(bit)) & 1 == 1 { flags.remove(flag) }
    if form == .simple { flags.remove(.sendDF) }
    if !flags.contains(.sendWriteZeroes) { flags.remove(.sendFastZero) }
    if choices >> 15 & 1 == 1 { flags.insert(.readOnly) }
    self = .test(
      form, size: [1 << 20, (1 << 20) + 100, 65536, 511][Int(choices & 3)], flags: flags, minimum: minimum, maximum: maximum,
      contexts: Array([7, 0, .max].prefix(1 + Int(choices >> 2 & 3) % 3)))
  }
}

extension Ask {
  /// Bytes of the longest operation: more than is answered from the receive buffer, and than some of the exports take at once.
  static let longest: UInt64 = 80 * 1024

  /// Nil for an operation that the export does not allow.
  init?(_ input: inout FuzzInput, _ export: Export) {
    let command = input.one(of: [
      Command.read, .read, .read, .write, .write, .writeZeroes, .flush, .trim, .cache, .blockStatus,
    ])
    let flags = input.byte()
    let offset = UInt64(input.word()) % (export.size + 1)
    let length = min(UInt64(input.byte()) * input.one(of: [1, 16, 512, 4096]), Self.longest)
    self.init(
      command: command, flags: command.allowedFlags.intersection(CommandFlags(rawValue: UInt16(flags))), offset: offset,
      length: length)
    if command == .flush { (self.offset, self.length) = (0, 0) }
    let operation = Operation.unsent(command, flags: self.flags, offset: self.offset, length: self.length)
    guard (try? export.check(operation)) != nil else { return nil }
    if command == .write { payload = FuzzServer.written(self.offset..<(self.offset + self.length)) }
  }
}
