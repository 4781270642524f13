/// Parsing the chunks of structured and extended replies (*Structured reply types*).
extension TransmissionMachine {
  mutating func parseChunk(_ header: ReplyHeader, _ size: Int, _ index: Int) throws(ProtocolViolation) -> Step {
    switch header.type {
    case .offsetData: return try parseOffsetData(header, size, index)
    case .offsetHole: return try parseOffsetHole(header, size, index)
    case .none:
      guard header.length == 0, header.flags.contains(.done) else {
        throw ProtocolViolation("\(header.type) must be empty and final, got \(header.length) bytes, flags \(header.flags.rawValue)")
      }
      input.consume(size)
      return try finishReply(index)
    case .blockStatus, .blockStatusExtended: return try parseStatus(header, size, index)
    case let type where type.isError: return try parseError(header, size, index)
    default:
      throw ProtocolViolation("got \(header.type) in reply to \(commands[index].pointee.command), which has no meaning here")
    }
  }

  /// The last chunk of a reply is complete: does it all add up?
  @inline(__always)
  mutating func finishReply(_ index: Int) throws(ProtocolViolation) -> Step {
    let slot = commands[index].pointee
    if slot.error.rawValue == 0 {
      if slot.command == .read { try checkCoverage(slot, index) }
      if slot.command == .blockStatus, let reply = statusReplies[index], reply.extents.contains(where: { $0 == nil }) {
        throw ProtocolViolation("a block status reply ended without a chunk for every metadata context")
      }
    }
    if slot.hasFragments { coverage[index] = nil }
    return step(replied(index, data: nil))
  }

  // MARK: Read

  @inline(__always)
  private mutating func parseOffsetData(
    _ header: ReplyHeader, _ size: Int, _ index: Int
  ) throws(ProtocolViolation) -> Step {
    guard header.length > UInt64(OffsetData.size) else {
      throw ProtocolViolation("\(header.type) of \(header.length) bytes, expected at least \(OffsetData.size + 1)")
    }
    let headerSize = size + OffsetData.size
    guard let offset = input.decode(from: size, { OffsetData($0) })?.offset else { return .starved(headerSize) }
    let length = header.length - UInt64(OffsetData.size)
    let isLast = header.flags.contains(.done)
    try checkContent(index, header.type, offset, length)
    if commands[index].pointee.buffer == nil {
      // Ask for the buffer, or wait for the rest, before anything is noted down: this chunk is parsed again.
      let wantsBuffer = commands[index].pointee.error.rawValue == 0
      if wantsBuffer { return parseData(index, headerSize: headerSize, offset: offset, length: length, isLast: isLast) }
    }
    try cover(index, offset, length)
    if isLast {
      // Checked before the data comes, so that what follows cannot change the verdict.
      let slot = commands[index].pointee
      if slot.error.rawValue == 0 { try checkCoverage(slot, index) }
      if slot.hasFragments { coverage[index] = nil }
    }
    return parseData(index, headerSize: headerSize, offset: offset, length: length, isLast: isLast)
  }

  private mutating func parseOffsetHole(
    _ header: ReplyHeader, _ size: Int, _ index: Int
  ) throws(ProtocolViolation) -> Step {
    guard header.length == UInt64(OffsetHole.size) else {
      throw ProtocolViolation("\(header.type) of \(header.length) bytes, expected \(OffsetHole.size)")
    }
    guard let hole = input.decode(from: size, { OffsetHole($0) }) else { return .starved(size + OffsetHole.size) }
    let offset = hole.offset
    let length = UInt64(hole.length)
    try checkContent(index, header.type, offset, length)
    let slot = commands[index]
    if let buffer = slot.pointee.buffer {
      try cover(index, offset, length)
      (buffer + Int(offset - slot.pointee.offset)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(length))
    } else if slot.pointee.error.rawValue != 0 {
      try cover(index, offset, length)
    } else {
      return .event(needsBuffer(index))
    }
    input.consume(size + OffsetHole.size)
    return header.flags.contains(.done) ? try finishReply(index) : .advanced
  }

  /// A content chunk must answer a read, and lie inside it. All arithmetic is safe for any 64-bit value.
  @inline(__always)
  private func checkContent(
    _ index: Int, _ type: ChunkType, _ offset: UInt64, _ length: UInt64
  ) throws(ProtocolViolation) {
    let slot = commands[index]
    guard slot.pointee.command == .read else {
      throw ProtocolViolation("got \(type) in reply to \(slot.pointee.command)")
    }
    guard offset >= slot.pointee.offset, length > 0, length <= slot.pointee.length,
      offset - slot.pointee.offset <= slot.pointee.length - length
    else {
      throw ProtocolViolation(
        "\(type) at \(offset) for \(length) bytes lies outside the read at \(slot.pointee.offset) for \(slot.pointee.length) bytes")
    }
    if slot.pointee.flags.contains(.dontFragment), slot.pointee.contentChunks > 0 {
      throw ProtocolViolation("a read with NBD_CMD_FLAG_DF was answered in more than one content chunk")
    }
  }

  /// Notes that a range of a read has come. In order, that is one addition.
  @inline(__always)
  private mutating func cover(_ index: Int, _ offset: UInt64, _ length: UInt64) throws(ProtocolViolation) {
    let slot = commands[index]
    slot.pointee.contentChunks &+= 1
    let start = offset - slot.pointee.offset
    if !slot.pointee.hasFragments, start == slot.pointee.covered {
      slot.pointee.covered += length
      return
    }
    try coverOutOfOrder(index, start..<(start + length))
  }

  private mutating func coverOutOfOrder(_ index: Int, _ range: Range<UInt64>) throws(ProtocolViolation) {
    let slot = commands[index]
    var ranges = coverage.removeValue(forKey: index) ?? ReadCoverage()
    if !slot.pointee.hasFragments {
      slot.pointee.hasFragments = true
      if slot.pointee.covered > 0 { try ranges.insert(0..<slot.pointee.covered) }
    }
    try ranges.insert(range)
    coverage[index] = ranges
  }

  @inline(__always)
  private func checkCoverage(_ slot: CommandSlot, _ index: Int) throws(ProtocolViolation) {
    if slot.hasFragments ? coverage[index]?.covers(0..<slot.length) == true : slot.covered == slot.length { return }
    throw ProtocolViolation(
      "a read at \(slot.offset) for \(slot.length) bytes was declared done before every byte had come")
  }

  // MARK: Errors

  private mutating func parseError(_ header: ReplyHeader, _ size: Int, _ index: Int) throws(ProtocolViolation) -> Step {
    let least = UInt64(ErrorChunk.sizeWithoutMessage(header.type))
    guard header.length >= least, header.length <= UInt64(Limits.errorChunk) else {
      throw ProtocolViolation("\(header.type) of \(header.length) bytes, expected \(least) to \(Limits.errorChunk)")
    }
    let length = Int(header.length)
    guard input.count >= size + length else { return .starved(size + length) }
    guard let chunk = input.decode(from: size, { ErrorChunk($0.extracting(first: length), header.type) }),
      chunk.message.count <= Limits.string
    else { throw ProtocolViolation("\(header.type) of \(length) bytes claims a message that is longer, or too long") }
    guard chunk.code.rawValue != 0 else { throw ProtocolViolation("\(header.type) carries the error 0") }
    let slot = commands[index]
    if let offset = chunk.offset {
      guard offset >= slot.pointee.offset, offset - slot.pointee.offset <= slot.pointee.length else {
        throw ProtocolViolation("\(header.type) names offset \(offset), outside the request")
      }
    }
    slot.pointee.errorChunks += 1
    guard slot.pointee.errorChunks <= Limits.errorChunks else {
      throw ProtocolViolation("one reply carries more than \(Limits.errorChunks) error chunks")
    }
    keepText(chunk.message, of: index)
    fail(slot, chunk.code)
    input.consume(size + length)
    return header.flags.contains(.done) ? try finishReply(index) : .advanced
  }

  // MARK: Block status

  private mutating func parseStatus(_ header: ReplyHeader, _ size: Int, _ index: Int) throws(ProtocolViolation) -> Step {
    let wide = header.type == .blockStatusExtended
    guard commands[index].pointee.command == .blockStatus, wide == isExtended else {
      throw ProtocolViolation("got \(header.type) in reply to \(commands[index].pointee.command) with \(replies) replies")
    }
    let prefixSize = StatusHeader.size(extended: wide)
    let prefix = UInt64(prefixSize)
    let entry = UInt64(StatusDescriptor.size(extended: wide))
    guard header.length >= prefix + entry, (header.length - prefix) % entry == 0 else {
      throw ProtocolViolation("\(header.type) of \(header.length) bytes, expected \(prefix) and a multiple of \(entry)")
    }
    let count = (header.length - prefix) / entry
    guard count <= UInt64(Limits.extentsInChunk) else {
      throw ProtocolViolation("\(header.type) with \(count) extents, expected at most \(Limits.extentsInChunk)")
    }
    guard let status = input.decode(from: size, { StatusHeader($0, extended: wide) }) else {
      return .starved(size + prefixSize)
    }
    let id = status.contextID
    if let announced = status.count, UInt64(announced) != count {
      throw ProtocolViolation("\(header.type) announces \(announced) extents and holds \(count)")
    }
    guard let context = export.contexts.firstIndex(where: { $0.id == id }) else {
      throw ProtocolViolation("\(header.type) for the metadata context \(id), which was not negotiated")
    }
    let slot = commands[index]
    guard statusReplies[index]?.extents[context] == nil else {
      throw ProtocolViolation("two \(header.type) chunks for the metadata context \(id)")
    }
    if slot.pointee.flags.contains(.requestOne), count != 1 {
      throw ProtocolViolation("\(header.type) with \(count) extents in reply to NBD_CMD_FLAG_REQ_ONE")
    }
    statusReplies[index]?.extents[context] = []
    statusReplies[index]?.cursor = slot.pointee.offset
    input.consume(size + prefixSize)
    receiving = .extents(command: index, context: context, left: Int(count), isLast: header.flags.contains(.done))
    return .advanced
  }

  mutating func takeExtents(_ index: Int, _ context: Int, _ left: Int, _ isLast: Bool) throws(ProtocolViolation) -> Step {
    let entry = StatusDescriptor.size(extended: isExtended)
    let slot = commands[index].pointee
    let limit = slot.offset + slot.length
    var left = left
    while left > 0, let descriptor = input.decode({ StatusDescriptor($0, extended: isExtended) }) {
      let length = descriptor.length
      guard length > 0 else { throw ProtocolViolation("a block status reply holds an extent of length 0") }
      let cursor = statusReplies[index]?.cursor ?? limit
      guard cursor < limit else {
        throw ProtocolViolation("a block status reply goes on after the end of the request at \(limit)")
      }
      // Only the last extent may reach beyond the request; it is clipped. `limit - cursor` cannot overflow.
      let clipped = min(length, limit - cursor)
      if length > clipped, slot.flags.contains(.requestOne) {
        throw ProtocolViolation("an extent of \(length) bytes exceeds the request with NBD_CMD_FLAG_REQ_ONE")
      }
      keep(Extent(offset: cursor, length: clipped, status: descriptor.status), index, context)
      statusReplies[index]?.cursor = cursor + clipped
      input.consume(entry)
      left -= 1
    }
    guard left == 0 else {
      receiving = .extents(command: index, context: context, left: left, isLast: isLast)
      return .starved(left * entry + dataHeaderSize)
    }
    receiving = .header
    return isLast ? try finishReply(index) : .advanced
  }

  /// Of each context the first; then those that follow it without a gap, within ``Limits/extentsHeld``.
  private mutating func keep(_ extent: Extent, _ index: Int, _ context: Int) {
    if let last = statusReplies[index]?.extents[context]?.last {
      guard last.end == extent.offset, extentsHeld < Limits.extentsHeld else { return }
    }
    statusReplies[index]?.extents[context]?.append(extent)
    extentsHeld += 1
  }
}
