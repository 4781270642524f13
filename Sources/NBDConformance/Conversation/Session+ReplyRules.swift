import NBDProtocol

/// The rules that every reply keeps.
extension Session {
  func note(_ header: ReplyHeader, _ request: PendingRequest) {
    let t = transcript
    book.note("EH-002", form == .extended || header.form != .extended, "no extended reply, which was not agreed", "one", in: t)
    switch form {
    case .simple:
      book.note("TX-017", header.form != .structured, "a simple reply to \(request.name)", "\(header.form.name)", in: t)
    case .structured:
      if request.isRead {
        book.note("SR-002", header.form != .simple, "a structured reply to \(request.name)", "a simple reply", in: t)
      } else if request.isBlockStatus, header.form != .simple || header.error.rawValue == 0 {
        book.note("SR-003", header.form != .simple, "a structured reply to \(request.name)", "a simple reply", in: t)
      }
    case .extended:
      book.note("EH-008", header.form == .extended, "an extended reply to \(request.name)", "\(header.form.name)", in: t)
      guard header.form == .extended else { return }
      book.note("EH-009", header.offset == request.offset, "offset \(request.offset)", "\(header.offset)", in: t)
      book.note("EH-010", header.length <= UInt64(UInt32.max), "less than 2^32 bytes of payload", "\(header.length)", in: t)
    }
  }

  func note(_ chunk: Chunk, _ request: PendingRequest, _ form: ReplyForm) {
    let t = transcript
    let size = chunk.payload.count
    book.note("SR-007", chunk.flags & ~1 == 0, "no flag but DONE", hex(chunk.flags), in: t)
    switch chunk.type {
    case .none:
      book.note(
        "SR-008", size == 0 && chunk.flags & 1 == 1, "no payload, and DONE", "\(size) bytes, flags \(hex(chunk.flags))", in: t)
    case .offsetData:
      book.note("SR-009", size >= 9, "9 bytes or more", "\(size)", in: t)
      if let maximumPayload {
        book.note("SZ-014", size - 8 <= Int(maximumPayload), "at most \(maximumPayload) bytes of data", "\(size - 8)", in: t)
      }
    case .offsetHole:
      book.note(
        "SR-010", size == 12, "12 bytes", "\(size)", in: t)
      book.note("SR-028", chunk.content?.length != 0, "at least one byte", "a hole of none", in: t)
    case .blockStatus, .blockStatusExtended:
      note(status: chunk, request, form)
    default:
      if chunk.type.isError { note(error: chunk, request) }
    }
    guard request.isRead, let (offset, length) = chunk.content else { return }
    let isInside =
      offset >= request.offset && offset - request.offset <= request.length && length <= request.length - (offset - request.offset)
    book.note(
      "SR-011", isInside, "content inside \(request.length) bytes at \(request.offset)", "\(length) bytes at \(offset)", in: t)
  }

  private func note(error chunk: Chunk, _ request: PendingRequest) {
    let t = transcript
    let error = chunk.error
    let isExact = error.map { chunk.type != .error || $0.message.count + 6 <= chunk.payload.count } ?? false
    book.note(
      "SR-020", isExact && error?.code.rawValue != 0 && Self.isString(error?.message ?? []),
      "an error that is not 0, and a UTF-8 message of at most 4096 bytes",
      error.map { "\($0.code) with \(shown($0.message))" } ?? "\(chunk.payload.count) bytes without room for it", in: t)
    guard chunk.type == .errorOffset else { return }
    let place = error?.offset
    let isInside = place.map { $0 >= request.offset && $0 - request.offset < max(1, request.length) } ?? false
    book.note(
      "SR-022", chunk.payload.count >= 14 && isInside, "an offset inside the request", place.map(String.init) ?? "no offset", in: t)
    let commands: [Command] = [.read, .write, .trim, .cache, .writeZeroes, .blockStatus]
    book.note("SR-031", commands.contains { $0.rawValue == request.type }, "a request with a range", request.name, in: t)
  }

  private func note(status chunk: Chunk, _ request: PendingRequest, _ form: ReplyForm) {
    let t = transcript
    if form == .extended {
      book.note("EH-017", chunk.type == .blockStatusExtended, "type 6", "type 5", in: t)
    }
    guard let (context, extents) = chunk.status else {
      return book.note("MC-033", false, "a context and descriptors", "\(chunk.payload.count) bytes", in: t)
    }
    let isExtended = chunk.type == .blockStatusExtended
    if isExtended {
      let count = StatusHeader(chunk.payload.span.bytes, extended: true)?.count
      book.note(
        "EH-018", chunk.payload.count == 8 + 16 * extents.count && count == UInt32(extents.count) && !extents.isEmpty,
        "8 bytes, and 16 for each of the descriptors counted", "\(chunk.payload.count) bytes, \(count ?? 0) counted", in: t)
    }
    let isWhole = isExtended || chunk.payload.count == 4 + 8 * extents.count
    book.note(
      "MC-033", isWhole && !extents.isEmpty && extents.allSatisfy { $0.length > 0 },
      "descriptors of lengths that are not 0, and nothing else",
      isWhole ? "\(extents.count { $0.length == 0 }) of length 0 among \(extents.count)" : "\(chunk.payload.count) bytes", in: t)
    book.note("MC-037", extents.count <= 1 << 20, "at most 2^20 descriptors", "\(extents.count)", in: t)
    note(extents, request, isAllocation: contexts[context] == "base:allocation", isExtended: isExtended)
  }

  private func note(_ extents: [StatusDescriptor], _ request: PendingRequest, isAllocation: Bool, isExtended: Bool) {
    let t = transcript
    let before = extents.dropLast().reduce(UInt64(0)) { $0 &+ $1.length }
    book.note(
      "MC-034", before < max(1, request.length), "less than \(request.length) bytes before the last descriptor", "\(before)", in: t)
    if request.flags & CommandFlags.requestOne.rawValue != 0 {
      book.note(
        "MC-035", extents.count == 1 && extents[0].length <= request.length, "one descriptor of at most \(request.length) bytes",
        "\(extents.count) of \(extents.first?.length ?? 0)", in: t)
    }
    let isVaried = zip(extents, extents.dropFirst()).allSatisfy { $0.status != $1.status }
    book.note("MC-038", isVaried, "neighbours that differ", "neighbours of one status", in: t)
    if let uneven = extents.dropLast().first(where: { $0.length % minimumBlock != 0 }) {
      book.note("MC-039", false, "multiples of the least block, \(minimumBlock)", "\(uneven.length)", .missed, in: t)
    } else {
      let uneven = extents.dropLast().first { $0.length % 512 != 0 }
      book.note("MC-039", uneven == nil, "multiples of 512", "\(uneven?.length ?? 0)", .warned, in: t)
    }
    guard isAllocation else { return }
    book.note("MC-046", extents.allSatisfy { $0.status & 0xffff_fffc == 0 }, "no bit but HOLE and ZERO", "another", in: t)
    if isExtended { book.note("EH-019", extents.allSatisfy { $0.status >> 32 == 0 }, "upper 32 bits of 0", "others", in: t) }
  }

  /// A reply of chunks that is complete.
  func note(whole reply: Reply, _ request: PendingRequest) {
    let t = transcript
    let errors = reply.chunks.filter { $0.type.isError }
    if !errors.isEmpty {
      book.note(
        "SR-021", errors.count { $0.type == .error } <= 1 && (errors.count == 1 || !errors.contains { $0.type == .error }),
        "one ERROR chunk, or ERROR_OFFSET chunks", "\(errors.count) error chunks", in: t)
    }
    let places = errors.compactMap { $0.error?.offset }
    if !places.isEmpty {
      book.note("SR-022", Set(places).count == places.count, "offsets that differ", "one offset twice", .warned, in: t)
      noteOrder(reply)
    }
    guard request.isRead else { return }
    let ranges = reply.contents.compactMap(\.content).sorted { $0.offset < $1.offset }
    let overlap = zip(ranges, ranges.dropFirst()).first { $0.offset &+ $0.length > $1.offset }
    book.note("SR-012", overlap == nil, "content that does not overlap", "overlap at \(overlap?.1.offset ?? 0)", in: t)
    if errors.isEmpty {
      let sum = ranges.reduce(UInt64(0)) { $0 &+ $1.length }
      book.note(
        "SR-013", sum >= request.length || overlap != nil, "content for all of \(request.length) bytes", "content for \(sum)", in: t
      )
    }
    let end = request.offset &+ request.length
    let uneven = ranges.first {
      ($0.offset % 512 != 0 && $0.offset != request.offset)
        || (($0.offset &+ $0.length) % 512 != 0 && $0.offset &+ $0.length != end)
    }
    book.note(
      "SR-015", uneven == nil, "boundaries at multiples of 512", "\(uneven?.length ?? 0) bytes at \(uneven?.offset ?? 0)", in: t)
    let most = max(4, request.length / 4096 + 2)
    book.note(
      "SR-016", reply.chunks.count <= most, "at most \(most) chunks for \(request.length) bytes", "\(reply.chunks.count)", in: t)
    if request.flags & CommandFlags.dontFragment.rawValue != 0 {
      book.note("SR-017", ranges.count <= 1, "at most one content chunk with DF", "\(ranges.count)", in: t)
    }
  }

  /// Where errors have offsets: content comes before its error, one error for each content chunk, and zeros behind it.
  private func noteOrder(_ reply: Reply) {
    // The first tell enough: a reply of many chunks and as many errors would take for ever.
    var errors: [(index: Int, place: UInt64)] = []
    for (index, chunk) in reply.chunks.enumerated() where errors.count < 100 {
      if let place = chunk.error?.offset { errors.append((index, place)) }
    }
    for (index, chunk) in reply.chunks.enumerated() {
      guard let (offset, length) = chunk.content else { continue }
      let inside = errors.filter { $0.place >= offset && $0.place - offset < length }
      book.note(
        "SR-024", inside.allSatisfy { $0.index > index }, "content before its error", "an error before its content", in: transcript)
      book.note("SR-025", inside.count <= 1, "one error in each content chunk", "\(inside.count)", in: transcript)
      guard chunk.type == .offsetData, let place = inside.map(\.place).min() else { continue }
      let tail = chunk.payload.dropFirst(OffsetData.size + Int(place - offset))
      book.note("SR-026", tail.allSatisfy { $0 == 0 }, "zeros from the error on", "other bytes", in: transcript)
    }
  }

  /// The values of errors.
  func note(error reply: Reply, _ request: PendingRequest) {
    let codes = reply.form == .simple ? [reply.simpleError] : reply.chunks.compactMap { $0.error?.code.rawValue }
    for code in codes where code != 0 {
      let t = transcript
      let mayBeFull = request.type == Command.write.rawValue || request.type == Command.writeZeroes.rawValue
      // EFBIG and EDQUOT of Linux.
      let isFull = mayBeFull && (code == 27 || code == 122)
      if mayBeFull { book.note("TX-067", !isFull, "NBD_ENOSPC for EDQUOT and EFBIG", "error \(code)", in: t) }
      let name = "\(NBDErrorCode(rawValue: code)) to \(request.name)"
      book.note("TX-063", [1, 5, 12, 22, 28, 75, 95, 108].contains(code) || isFull, "an error of the specification", name, in: t)
      let isLong = request.length > maximumPayload.map(UInt64.init) ?? 1 << 20
      let isFragmented = request.isRead && request.flags & CommandFlags.dontFragment.rawValue != 0
      let isFast = request.type == Command.writeZeroes.rawValue && request.flags & CommandFlags.fastZero.rawValue != 0
      book.note("TX-064", code != 75 || isFragmented || isLong || isFast, "EOVERFLOW for DF or long requests only", name, in: t)
      book.note("TX-065", code != 95 || isFast, "ENOTSUP for FAST_ZERO only", name, in: t)
      book.note("TX-066", code != 12, "any other error", name, in: t)
    }
  }
}
