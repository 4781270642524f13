import Glibc

/// The option haggling of a model server.
extension ModelConnection {
  /// True where it leads to the transmission phase.
  func haggle() -> Bool {
    while isOpen, let header = receive(16, .option, once: makes(.trustsSegmentsOfOptions)) {
      guard Array(header[0..<8]) == ascii("IHAVEOPT") || makes(.ignoresOptionMagic) else { return false }
      let length = number(header[12..<16])
      let option = UInt32(number(header[8..<12]))
      history.append(option)
      if length > 4 << 20 {
        _ = violation?.option?(self, SeenOption(number: option, data: [], isCutShort: true))
        return false
      }
      guard let data = receive(Int(length), .option) else { return false }
      let seen = SeenOption(number: option, data: data)
      if violation?.option?(self, seen) ?? false {
        if isInTransmission { return isOpen }
        continue
      }
      answer(seen)
      if isInTransmission { return isOpen }
    }
    return false
  }

  private var isInTransmission: Bool { server.state.withLock { $0.serving.contains(socket) } }
  func enterTransmission() { server.state.withLock { _ = $0.serving.insert(socket) } }

  func reply(_ option: UInt32, _ type: UInt32, _ data: [UInt8] = []) {
    var reply = OutgoingReply(option: option, type: type, data: type & 1 << 31 != 0 && data.isEmpty ? ascii("no") : data)
    violation?.optionReply?(self, &reply)
    send(reply.bytes)
  }

  func replyContext(_ option: UInt32, _ id: UInt32, _ name: String) { reply(option, Rep.context, be(id) + ascii(name)) }
  func replyServer(_ name: String, _ description: String = "") {
    reply(Opt.list, Rep.server, be(UInt32(name.utf8.count)) + ascii(name) + ascii(description))
  }

  /// What a good server says.
  func answer(_ option: SeenOption) {
    let number = option.number
    items = option.items ?? []
    if offer.tls == .forced, !isProtected, number != Opt.abort, number != Opt.startTLS {
      if number == Opt.exportName { return end() }
      return reply(number, Rep.tlsRequired)
    }
    if server.state.withLock({ $0.isEnding }), number != Opt.abort { return reply(number, Rep.shutdown) }
    switch number {
    case Opt.exportName: exportName(option.data)
    case Opt.abort:
      reply(number, Rep.ack)
      isOpen = false
    case Opt.list:
      guard option.data.isEmpty else { return reply(number, Rep.invalid) }
      for name in offer.exports { replyServer(name, "the export \(name)") }
      reply(number, Rep.ack)
    case Opt.startTLS: startTLS(option)
    case Opt.info, Opt.go: information(option)
    case Opt.structured where offer.hasStructured:
      if isExtended { return reply(number, Rep.extendedRequired) }
      guard option.data.isEmpty else { return reply(number, Rep.invalid) }
      isStructured = true
      reply(number, Rep.ack)
    case Opt.extended where offer.hasExtended:
      guard option.data.isEmpty else { return reply(number, Rep.invalid) }
      isExtended = true
      reply(number, Rep.ack)
    case Opt.listMeta where !offer.contexts.isEmpty, Opt.setMeta where !offer.contexts.isEmpty: contexts(option)
    default: reply(number, Rep.unsupported)
    }
  }

  private func exportName(_ name: [UInt8]) {
    let isWithheld = offer.tls == .selective && !isProtected && name == ascii("secret")
    guard knows(name), !isWithheld, !offer.insistsOnBlocks else { return end() }
    serveByName(name)
  }

  /// The answer to `NBD_OPT_EXPORT_NAME`.
  func serveByName(_ name: [UInt8], size: UInt64? = nil, flags: UInt16? = nil, padding: [UInt8]? = nil) {
    let zeros = clientFlags & 2 == 0 ? [UInt8](repeating: 0, count: 124) : []
    if selectedFor != name { selected = [] }
    send(be(size ?? offer.size) + be(flags ?? self.flags) + (padding ?? zeros))
    enterTransmission()
  }

  private func startTLS(_ option: SeenOption) {
    guard offer.tls != .none else { return reply(option.number, Rep.unsupported) }
    guard clientFlags & 1 == 1, option.data.isEmpty, !isProtected else { return reply(option.number, Rep.invalid) }
    if makes(.carriesClearTextOver) { carryClearTextOver() }
    reply(option.number, Rep.ack)
    beginTLS()
  }

  /// `NBD_OPT_INFO` and `NBD_OPT_GO`.
  func information(_ option: SeenOption) {
    let number = option.number
    guard let name = option.name, let items = option.items, name.count <= 4096, !name.contains(0),
      String(validating: name, as: UTF8.self) != nil
    else { return reply(number, Rep.invalid) }
    if offer.tls == .selective, !isProtected, name == ascii("secret") || !knows(name) { return reply(number, Rep.tlsRequired) }
    guard knows(name) else { return reply(number, Rep.unknown) }
    if offer.insistsOnBlocks, !items.contains(3) {
      replyBlocks(number)
      return reply(number, Rep.blockSizeRequired)
    }
    replyItems(number, name, items)
    if number == Opt.go { enter(name, items) }
    reply(number, Rep.ack)
    if number == Opt.go { enterTransmission() }
  }

  func enter(_ name: [UInt8], _ items: [UInt16]) {
    if selectedFor != name { selected = [] }
    goItems = items
  }

  func replyItems(_ number: UInt32, _ name: [UInt8], _ items: [UInt16]) {
    replyExport(number)
    if items.contains(1) { reply(number, Rep.info, be(UInt16(1)) + (name.isEmpty ? ascii("disk") : name)) }
    if items.contains(2) {
      reply(number, Rep.info, be(UInt16(2)) + ascii("the export \(name.isEmpty ? "disk" : String(decoding: name, as: UTF8.self))"))
    }
    if items.contains(3) { replyBlocks(number) }
  }

  func replyExport(_ number: UInt32) { reply(number, Rep.info, be(UInt16(0)) + be(offer.size) + be(flags)) }

  func replyBlocks(_ number: UInt32, _ sizes: [UInt32]? = nil) {
    guard let blocks = sizes ?? offer.blocks else { return }
    reply(number, Rep.info, be(UInt16(3)) + blocks.flatMap { be($0) })
  }

  /// `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`.
  func contexts(_ option: SeenOption) {
    let number = option.number
    let isSet = number == Opt.setMeta
    if isSet { selected = [] }
    guard !isSet || isStructured || isExtended else { return reply(number, Rep.invalid) }
    guard let (queries, rest) = option.queries, rest == 0, let name = option.name, name.count <= 4096 else {
      return reply(number, Rep.invalid)
    }
    guard knows(name) else { return reply(number, Rep.unknown) }
    let found = offer.contexts.filter { context in
      queries.contains { $0 == context || (!isSet && $0.hasSuffix(":") && context.hasPrefix($0)) } || (!isSet && queries.isEmpty)
    }
    for context in found {
      let id = UInt32(offer.contexts.firstIndex(of: context) ?? 0) + 40
      if isSet { selected.append((id, context)) }
      replyContext(number, isSet ? id : 0, context)
    }
    selectedFor = isSet ? name : selectedFor
    reply(number, Rep.ack)
  }

  /// Selects and says a context that was not asked for.
  func select(_ option: SeenOption, _ id: UInt32, _ name: String) {
    selected.append((id, name))
    selectedFor = option.name ?? []
    replyContext(option.number, id, name)
  }
}
