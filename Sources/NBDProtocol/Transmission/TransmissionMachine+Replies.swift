/// Parsing replies: the header, simple replies, and the data of reads.
///
/// A decoder first makes sure that all the bytes it looks at are there, then checks what they say, and only then
/// consumes them. Where bytes are missing it leaves everything as it was.
extension TransmissionMachine {
  /// How far one step of the parser came.
  enum Step {
    /// The receive buffer has to hold this many bytes, or more of them have to come in place, before it can go on.
    case starved(Int)
    /// Something was parsed: go on.
    case advanced
    case event(Event)
  }

  /// A reply up to this size, in bytes, is waited for and answered where it lies in the receive buffer. A larger
  /// one gets a buffer, so that most of it is received in place.
  static var largestInPlace: UInt64 { 64 * 1024 }

  /// The next completion, or the next need; nil where more bytes have to come first. To be called after bytes were
  /// received, and after anything else that left ``hasEvents`` true.
  package mutating func next() throws(ProtocolViolation) -> Event? {
    while true {
      if finishedTaken < finished.count {
        let completion = finished[finishedTaken]
        finishedTaken += 1
        if finishedTaken == finished.count {
          finished.removeAll(keepingCapacity: true)
          finishedTaken = 0
        }
        return .completed(completion)
      }
      if !refused.isEmpty { return .returned(refused.removeFirst()) }
      let step: Step
      switch receiving {
      case .header: step = try parseHeader()
      case .data(let command, let destination, let left, let isLast):
        step = takeData(command, destination, left, isLast)
      case .extents(let command, let context, let left, let isLast):
        step = try takeExtents(command, context, left, isLast)
      }
      switch step {
      case .starved(let count):
        needed = count
        if let event = nextBufferNeed() { return event }
        resumeStalledTransfers()
        guard finishedTaken < finished.count || !refused.isEmpty else { return nil }
      case .advanced: continue
      case .event(let event): return event
      }
    }
  }

  /// The step after a completed command, which may or may not complete an operation.
  @inline(__always)
  func step(_ completion: Completion?) -> Step {
    if let completion { .event(.completed(completion)) } else { .advanced }
  }

  private mutating func parseHeader() throws(ProtocolViolation) -> Step {
    guard let magic = input.decode({ ReplyHeader.magic($0) }) else { return .starved(dataHeaderSize) }
    guard let size = ReplyHeader.size(forMagic: magic), isAllowed(magic) else {
      throw ProtocolViolation("expected the magic of a \(replies) reply, got \(hex(magic))")
    }
    guard let header = input.decode({ ReplyHeader($0) }) else { return .starved(dataHeaderSize) }
    guard let index = commands.index(of: header.handle), commands[index].pointee.headerEnd <= output.sent else {
      throw ProtocolViolation(
        "got a reply with handle \(hex(header.handle)), which is no command in flight")
    }
    if header.form == .simple { return try parseSimple(header, index) }
    if header.form == .extended, header.offset != commands[index].pointee.offset {
      throw ProtocolViolation(
        "an extended reply repeats offset \(header.offset), expected the request's \(commands[index].pointee.offset)")
    }
    return try parseChunk(header, size, index)
  }

  /// Which reply magics the negotiation allows (*Simple reply message*).
  @inline(__always)
  private func isAllowed(_ magic: UInt32) -> Bool {
    switch replies {
    case .simple: magic == Magic.simpleReply
    case .structured: magic == Magic.structuredReply || magic == Magic.simpleReply
    case .extended: magic == Magic.extendedReply
    }
  }

  @inline(__always)
  private mutating func parseSimple(_ header: ReplyHeader, _ index: Int) throws(ProtocolViolation) -> Step {
    let slot = commands[index]
    let command = slot.pointee.command
    if replies != .simple, command == .read || (command == .blockStatus && header.error.rawValue == 0) {
      throw ProtocolViolation("got a simple reply to \(command), expected structured chunks")
    }
    if header.error.rawValue != 0 {
      fail(slot, header.error)
    } else if command == .read {
      return parseData(
        index, headerSize: ReplyHeader.simpleSize, offset: slot.pointee.offset, length: slot.pointee.length, isLast: true)
    }
    input.consume(ReplyHeader.simpleSize)
    return step(replied(index, data: nil))
  }

  /// The server has answered with an error. The first one is the one that the caller sees.
  mutating func fail(_ slot: UnsafeMutablePointer<CommandSlot>, _ error: NBDErrorCode) {
    if slot.pointee.error.rawValue == 0 { slot.pointee.error = error }
    if error == .shutdown { isShutDown = true }
  }

  /// Begins with the data of a read, `headerSize` bytes into the receive buffer. The range was checked.
  @inline(__always)
  mutating func parseData(_ index: Int, headerSize: Int, offset: UInt64, length: UInt64, isLast: Bool) -> Step {
    let slot = commands[index]
    var destination: UnsafeMutableRawPointer?
    if let buffer = slot.pointee.buffer {
      destination = buffer + Int(offset - slot.pointee.offset)
    } else if slot.pointee.error.rawValue == 0 {
      let isWhole = isLast && length == slot.pointee.length
      guard isWhole, length <= Self.largestInPlace else { return .event(needsBuffer(index)) }
      let size = headerSize + Int(length)
      guard input.count >= size else { return .starved(size) }
      let data = input.start + headerSize
      input.consume(size)
      slot.pointee.covered = length
      return step(replied(index, data: data))
    }
    input.consume(headerSize)
    receiving = .data(command: index, destination: destination, left: Int(length), isLast: isLast)
    return .advanced
  }

  @inline(__always)
  func needsBuffer(_ index: Int) -> Event {
    .needsBuffer(command: index, token: commands[index].pointee.token, length: commands[index].pointee.length)
  }

  private mutating func takeData(
    _ index: Int, _ destination: UnsafeMutableRawPointer?, _ left: Int, _ isLast: Bool
  ) -> Step {
    let here = min(left, input.count)
    if here > 0 {
      destination?.copyMemory(from: input.start, byteCount: here)
      input.consume(here)
    }
    guard here == left else {
      receiving = .data(
        command: index, destination: destination.map { $0 + here }, left: left - here, isLast: isLast)
      // What has a destination goes there; what is dropped comes through the buffer.
      return .starved((destination == nil ? left - here : 0) + dataHeaderSize)
    }
    receiving = .header
    return isLast ? step(replied(index, data: nil)) : .advanced
  }
}
