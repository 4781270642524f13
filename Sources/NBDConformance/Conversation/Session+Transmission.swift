import NBDProtocol

/// The transmission phase: requests out, replies in.
extension Session {
  /// Payload of one chunk that is read.
  private static let mostPayload: UInt64 = 72 << 20
  /// Payload of all requests that are not answered yet, and of replies that were not waited for: more than is ever asked for.
  private static let mostHeld = 96 << 20

  /// A request's header. The number of a command may be any.
  func encodedRequest(_ type: UInt16, _ flags: UInt16, _ cookie: UInt64, _ offset: UInt64, _ length: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendBigEndian(form == .extended ? Magic.extendedRequest : Magic.request)
    bytes.appendBigEndian(flags)
    bytes.appendBigEndian(type)
    bytes.appendBigEndian(cookie)
    bytes.appendBigEndian(offset)
    if form == .extended { bytes.appendBigEndian(length) } else { bytes.appendBigEndian(UInt32(truncatingIfNeeded: length)) }
    return bytes
  }

  /// Takes note of a request that is about to be sent, and gives its bytes. A write's flag for its payload is set where extended
  /// headers want it.
  func prepare(
    _ type: UInt16, flags: UInt16 = 0, cookie: UInt64? = nil, _ offset: UInt64 = 0, _ length: UInt64 = 0, payload: [UInt8] = []
  ) -> (cookie: UInt64, bytes: [UInt8]) {
    let cookie = cookie ?? nextCookie
    if cookie == nextCookie { nextCookie += 1 }
    let isPlainWrite = type == Command.write.rawValue && form == .extended && !payload.isEmpty
    let flags = flags | (isPlainWrite ? CommandFlags.payloadLength.rawValue : 0)
    pending[cookie, default: []].append(PendingRequest(type: type, flags: flags, offset: offset, length: length))
    return (cookie, encodedRequest(type, flags, cookie, offset, length) + payload)
  }

  /// Sends a request, and returns its cookie.
  @discardableResult
  func sendRequest(
    _ type: UInt16, flags: UInt16 = 0, cookie: UInt64? = nil, _ offset: UInt64 = 0, _ length: UInt64 = 0, payload: [UInt8] = []
  ) throws -> UInt64 {
    let request = prepare(type, flags: flags, cookie: cookie, offset, length, payload: payload)
    try send(request.bytes, Self.title(type, offset, length), requestFields(request.bytes, payload))
    return request.cookie
  }

  private static func title(_ type: UInt16, _ offset: UInt64, _ length: UInt64) -> String {
    (Command(rawValue: type).map { "\($0)" } ?? "command \(type)") + " of \(length) bytes at \(offset)"
  }

  private func requestFields(_ all: [UInt8], _ payload: [UInt8]) -> [Field] {
    let size = form == .extended ? 32 : 28
    guard all.count >= size else { return [Field("bytes", all)] }
    return [
      Field("magic", all[0..<4], form == .extended ? "extended request" : "request"), Field("flags", all[4..<6]),
      Field("type", all[6..<8]),
      Field("cookie", all[8..<16]), Field("offset", all[16..<24]), Field("length", all[24..<size]),
    ] + (payload.isEmpty ? [] : [Field("payload", payload)])
  }

  /// Sends a request and reads its reply.
  func request(
    _ command: Command, flags: CommandFlags = [], _ offset: UInt64 = 0, _ length: UInt64 = 0, payload: [UInt8] = []
  ) throws -> Reply {
    try request(number: command.rawValue, flags: flags.rawValue, offset, length, payload: payload)
  }

  /// The same for any number and any flags.
  func request(
    number type: UInt16, flags: UInt16 = 0, _ offset: UInt64 = 0, _ length: UInt64 = 0, payload: [UInt8] = []
  ) throws -> Reply {
    try reply(to: try sendRequest(type, flags: flags, offset, length, payload: payload))
  }

  /// Reads until the first request with that cookie is answered.
  func reply(to cookie: UInt64) throws -> Reply {
    while finished[cookie]?.isEmpty ?? true {
      let (answered, reply) = try nextReply()
      held += reply.payloadSize
      finished[answered, default: []].append(reply)
    }
    let reply = finished[cookie]?.removeFirst() ?? Reply()
    held -= reply.payloadSize
    return reply
  }

  /// Reads until any request is answered.
  func nextReply() throws -> (cookie: UInt64, reply: Reply) {
    var chunks = 0
    while chunks < 200_000 {
      if let done = try readPart() { return done }
      chunks += 1
    }
    throw Finding(kind: .broken, expected: "a reply that ends", found: "\(chunks) chunks and no end")
  }

  /// Reads a simple reply or a chunk. The request that it completes, and all that was said to it.
  private func readPart() throws -> (UInt64, Reply)? {
    let what = "a reply to \(pending.values.first?.first?.name ?? "no request")"
    let start = try receive(4, what)
    let magic = UInt32(start.span.bytes.loadBigEndian(0, as: UInt32.self))
    guard let size = ReplyHeader.size(forMagic: magic) else {
      log(.received, "bytes that are no reply", [Field("bytes", start + stream.rest(28))])
      throw Finding(kind: .broken, expected: what, found: "bytes that begin with \(hex(magic))")
    }
    let head = start + (try receive(size - 4, "the rest of \(what)"))
    guard let header = ReplyHeader(head.span.bytes) else { preconditionFailure("a whole header with a magic") }
    let (cookie, request) = try owner(of: header)
    note(header, request)
    return header.form == .simple
      ? try readSimple(header, cookie, request, head) : try readChunk(header, cookie, request, head)
  }

  /// Whose reply this is. One with a cookie that nobody has is that of the only request there is.
  private func owner(of header: ReplyHeader) throws -> (UInt64, PendingRequest) {
    let known = pending[header.handle]?.first
    let expected = pending.keys.sorted().prefix(3).map { hex($0) }.joined(separator: ", ")
    book.note("TX-010", known != nil, "cookie \(expected.isEmpty ? "of a request" : expected)", hex(header.handle), in: transcript)
    if let known { return (header.handle, known) }
    if pending.count == 1, let only = pending.first, let request = only.value.first { return (only.key, request) }
    log(.received, "a reply to no request")
    throw Finding(
      kind: .broken, expected: pending.isEmpty ? "no reply, as no request waits for one" : "a reply to a request",
      found: "a reply with cookie \(hex(header.handle))")
  }

  private func readSimple(_ header: ReplyHeader, _ cookie: UInt64, _ request: PendingRequest, _ head: [UInt8]) throws -> (
    UInt64, Reply
  ) {
    var reply = Reply(form: .simple, simpleError: header.error.rawValue)
    var fields = [
      Field("magic", head[0..<4], "simple reply"), Field("error", head[4..<8], reply.summary), Field("cookie", head[8..<16]),
    ]
    if request.isRead, header.error.rawValue == 0 {
      reply.simpleData = try receive(Int(clamping: request.length), "\(request.length) bytes of data")
      fields.append(Field("data", reply.simpleData))
    }
    log(.received, "simple reply", fields)
    return (cookie, finish(cookie, reply))
  }

  private func readChunk(_ header: ReplyHeader, _ cookie: UInt64, _ request: PendingRequest, _ head: [UInt8]) throws -> (
    UInt64, Reply
  )? {
    guard header.length <= Self.mostPayload else {
      log(.received, "\(header.type) of \(header.length) bytes")
      throw Finding(kind: .broken, expected: "a chunk of at most \(Self.mostPayload) bytes", found: "\(header.length) bytes")
    }
    let payloadSize = Int(header.length)
    guard held + payloadSize <= Self.mostHeld else {
      throw Finding(kind: .broken, expected: "replies that end", found: "\(held + payloadSize) bytes of payload and no end")
    }
    let payload = try receive(payloadSize, "the payload of \(header.type)")
    let chunk = Chunk(type: header.type, flags: header.flags.rawValue, payload: payload)
    let rest =
      header.form == .extended
      ? [Field("offset", head[16..<24]), Field("length", head[24..<32])] : [Field("length", head[16..<20])]
    log(
      .received, "\(header.type)",
      [
        Field("magic", head[0..<4], header.form == .extended ? "extended reply" : "structured reply"),
        Field("flags", head[4..<6], header.flags.contains(.done) ? "DONE" : ""), Field("type", head[6..<8]),
        Field("cookie", head[8..<16]),
      ] + rest + (payload.isEmpty ? [] : [Field("payload", payload, Self.meaning(chunk))]))
    note(chunk, request, header.form)
    pending[cookie]?[0].reply.form = header.form
    pending[cookie]?[0].reply.chunks.append(chunk)
    held += payload.count
    guard header.flags.contains(.done), let reply = pending[cookie]?[0].reply else { return nil }
    note(whole: reply, request)
    return (cookie, finish(cookie, reply))
  }

  private static func meaning(_ chunk: Chunk) -> String {
    if let error = chunk.error { return "\(error.code)" + (error.message.isEmpty ? "" : " \(shown(error.message))") }
    if let (offset, length) = chunk.content { return "\(length) bytes at \(offset)" }
    if let (context, extents) = chunk.status {
      let shown = extents.prefix(4).map { "\($0.length): \($0.status)" }.joined(separator: ", ")
      return "context \(context): \(shown)" + (extents.count > 4 ? ", ... (\(extents.count))" : "")
    }
    return ""
  }

  private func finish(_ cookie: UInt64, _ reply: Reply) -> Reply {
    let request = pending[cookie]?.removeFirst()
    held -= request?.reply.payloadSize ?? 0
    if pending[cookie]?.isEmpty ?? true { pending[cookie] = nil }
    if let request { note(error: reply, request) }
    return reply
  }
}
