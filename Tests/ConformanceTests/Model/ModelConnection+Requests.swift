/// The transmission phase of a model server.
extension ModelConnection {
  func transmit() {
    enterTransmission()
    while isOpen, let request = nextRequest() {
      requests.append(request)
      if violation?.request?(self, request) ?? false { continue }
      if request.type == Cmd.disconnect { return }
      serve(request)
    }
  }

  private func nextRequest() -> SeenRequest? {
    let size = isExtended ? 32 : 28
    guard let header = receive(size, nil, once: makes(.trustsSegmentsOfRequests)) else { return nil }
    let magic = UInt32(number(header[0..<4]))
    let isRight = magic == (isExtended ? 0x21e4_1c71 : 0x2560_9513)
    guard isRight || makes(isExtended ? .ignoresExtendedMagic : .ignoresRequestMagic) else { return nil }
    var request = SeenRequest(
      flags: UInt16(number(header[4..<6])), type: UInt16(number(header[6..<8])), cookie: number(header[8..<16]),
      offset: number(header[16..<24]), length: number(header[24..<size]))
    let hasPayload = isExtended ? request.flags & Flag.payload != 0 : request.type == Cmd.write
    if hasPayload {
      let isTooLong = request.length > 1 << 26 || (isExtended && request.length > UInt64(offer.blocks?[2] ?? 1 << 25))
      if isTooLong {
        requests.append(request)
        _ = violation?.request?(self, request)
        return nil
      }
      guard let payload = receive(Int(request.length), .payload) else { return nil }
      request.payload = payload
    }
    return request
  }

  /// The flags that a command may have.
  private func mayHave(_ request: SeenRequest) -> UInt16 {
    var flags = offer.flags & 1 << 3 != 0 ? Flag.fua : 0
    switch request.type {
    case Cmd.read: flags |= isStructured || isExtended ? Flag.df : 0
    case Cmd.zeroes: flags |= Flag.noHole | (offer.flags & 1 << 11 != 0 ? Flag.fast : 0)
    case Cmd.status: flags |= Flag.one | (isExtended && self.flags & 1 << 12 != 0 ? Flag.payload : 0)
    case Cmd.write: flags |= isExtended ? Flag.payload : 0
    default: break
    }
    return flags
  }

  private func isAdvertised(_ type: UInt16) -> Bool {
    switch type {
    case Cmd.flush: offer.flags & 1 << 2 != 0
    case Cmd.trim: offer.flags & 1 << 5 != 0
    case Cmd.cache: offer.flags & 1 << 10 != 0
    case Cmd.zeroes: offer.flags & 1 << 6 != 0
    case Cmd.read, Cmd.write: true
    case Cmd.status: !selected.isEmpty
    default: false
    }
  }

  /// What a good server does.
  func serve(_ request: SeenRequest) {
    let type = request.type
    let mutates = type == Cmd.write || type == Cmd.trim || type == Cmd.zeroes
    if type == 8, offer.flags & 1 << 9 != 0 { return fail(request, 1) }
    guard isAdvertised(type), request.flags & ~mayHave(request) == 0 else { return fail(request, 22) }
    if isExtended, type == Cmd.write, request.flags & Flag.payload == 0 { return fail(request, 22) }
    if mutates, offer.flags & 2 != 0 { return fail(request, 1) }
    if type == Cmd.flush { return succeed(request) }
    if type == Cmd.status, request.flags & Flag.payload != 0 { return statusByPayload(request) }
    let block = UInt64(offer.blocks?[0] ?? 1)
    guard request.offset % block == 0, request.length % block == 0, request.length > 0 else { return fail(request, 22) }
    guard request.offset <= offer.size, request.length <= offer.size - request.offset else {
      return fail(request, type == Cmd.write || type == Cmd.zeroes ? 28 : 22)
    }
    let most = UInt64(offer.blocks?[2] ?? 1 << 25)
    switch type {
    case Cmd.read: request.length > most ? fail(request, 22) : read(request)
    case Cmd.write:
      if request.length > most { return fail(request, 22) }
      disk.write(request.offset, request.payload)
      readCache = [:]
      succeed(request)
    case Cmd.trim, Cmd.zeroes:
      if request.flags & Flag.fast != 0 { return fail(request, 95) }
      readCache = [:]
      if request.flags & Flag.noHole != 0 {
        disk.write(request.offset, [UInt8](repeating: 0, count: Int(request.length)))
      } else {
        disk.zero(request.offset, request.length)
      }
      succeed(request)
    case Cmd.status: status(request, selected)
    default: succeed(request)
    }
  }

  private func read(_ request: SeenRequest) {
    var data = disk.read(request.offset, Int(request.length))
    if makes(.cachesReads) {
      data = readCache[request.offset].flatMap { $0.count == data.count ? $0 : nil } ?? data
      readCache[request.offset] = data
    }
    sendData(request, data)
  }

  /// A read's data, with holes where there are zeros.
  func sendData(_ request: SeenRequest, _ data: [UInt8]) {
    guard isStructured || isExtended else { return simple(request, 0, data) }
    if request.flags & Flag.df != 0 || !request.payload.isEmpty { return chunks(request, [.data(request.offset, data)]) }
    var chunks: [OutgoingChunk] = []
    var place = request.offset
    for (length, isData) in disk.runs(request.offset, request.length) {
      let start = Int(place - request.offset)
      chunks.append(isData ? .data(place, Array(data[start..<(start + Int(length))])) : .hole(place, UInt32(length)))
      place += length
    }
    if let bad = offer.badSector, bad >= request.offset, bad + 512 <= request.offset + request.length {
      for index in chunks.indices where chunks[index].type == OutgoingChunk.data {
        let start = number(chunks[index].payload[0..<8])
        guard bad >= start, bad < start + UInt64(chunks[index].payload.count - 8) else { continue }
        let kept = 8 + Int(bad - start)
        chunks[index].payload = chunks[index].payload[..<kept] + [UInt8](repeating: 0, count: chunks[index].payload.count - kept)
      }
      chunks.append(.error(5, at: bad))
    }
    self.chunks(request, chunks)
  }

  func status(_ request: SeenRequest, _ contexts: [(id: UInt32, name: String)]) {
    var chunks: [OutgoingChunk] = []
    for (id, name) in contexts {
      var extents: [(UInt64, UInt64)] = [(request.length, 0)]
      if name == "base:allocation" { extents = disk.runs(request.offset, request.length).map { ($0.length, $0.isData ? 0 : 3) } }
      if request.flags & Flag.one != 0 { extents = Array(extents.prefix(1)) }
      violation?.extents?(self, request, &extents)
      chunks.append(statusChunk(id, extents))
    }
    self.chunks(request, chunks)
  }

  func statusChunk(_ id: UInt32, _ extents: [(UInt64, UInt64)]) -> OutgoingChunk {
    isExtended
      ? OutgoingChunk(
        type: OutgoingChunk.statusExtended, payload: be(id) + be(UInt32(extents.count)) + extents.flatMap { be($0.0) + be($0.1) })
      : OutgoingChunk(
        type: OutgoingChunk.status,
        payload: be(id) + extents.flatMap { be(UInt32(truncatingIfNeeded: $0.0)) + be(UInt32(truncatingIfNeeded: $0.1)) })
  }

  /// `NBD_CMD_BLOCK_STATUS` with a list of contexts.
  private func statusByPayload(_ request: SeenRequest) {
    guard request.payload.count >= 12, request.payload.count % 4 == 0 else { return fail(request, 22) }
    let ids = stride(from: 8, to: request.payload.count, by: 4).map { UInt32(number(request.payload[$0..<($0 + 4)])) }
    guard Set(ids).count == ids.count, ids.allSatisfy({ id in selected.contains { $0.id == id } }) else { return fail(request, 22) }
    let effect = SeenRequest(
      flags: request.flags, type: request.type, cookie: request.cookie, offset: request.offset,
      length: number(request.payload[0..<8]))
    status(effect, selected.filter { ids.contains($0.id) })
  }

  // MARK: Replies

  func succeed(_ request: SeenRequest) {
    if isStructured || isExtended { chunks(request, []) } else { simple(request, 0) }
  }

  func fail(_ request: SeenRequest, _ error: UInt32) {
    if isStructured || isExtended { chunks(request, [.error(error)]) } else { simple(request, error) }
  }

  func simple(_ request: SeenRequest, _ error: UInt32, _ data: [UInt8] = [], cookie: UInt64? = nil) {
    send(be(UInt32(0x6744_6698)) + be(error) + be(cookie ?? request.cookie) + data)
  }

  /// A reply in chunks, the last of which is marked; NBD_REPLY_TYPE_NONE where there are none.
  func chunks(_ request: SeenRequest, _ given: [OutgoingChunk], extended: Bool? = nil) {
    var chunks = given.isEmpty ? [OutgoingChunk(type: OutgoingChunk.none)] : given
    chunks[chunks.count - 1].flags = 1
    violation?.chunks?(self, request, &chunks)
    send(chunks.flatMap { encoded($0, request, extended: extended ?? isExtended) })
  }

  func encoded(_ chunk: OutgoingChunk, _ request: SeenRequest, extended: Bool, offset: UInt64? = nil) -> [UInt8] {
    let head = be(extended ? 0x6e8a_278c : UInt32(0x668e_33ef)) + be(chunk.flags) + be(chunk.type) + be(request.cookie)
    let length = extended ? be(offset ?? request.offset) + be(UInt64(chunk.payload.count)) : be(UInt32(chunk.payload.count))
    return head + length + chunk.payload
  }
}
