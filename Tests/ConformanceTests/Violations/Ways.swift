/// The usual ways to break a rule.
extension Violation {
  /// Another answer to an option.
  static func replying(
    _ id: String, offer: String = "full", also: Set<String> = [],
    where applies: @escaping @Sendable (ModelConnection, SeenOption) -> Bool,
    _ answer: @escaping @Sendable (ModelConnection, SeenOption) -> Void
  ) -> Violation {
    Violation(
      id: id, offer: offer, also: also,
      option: { c, o in
        guard applies(c, o) else { return false }
        answer(c, o)
        return true
      })
  }

  /// An option that is refused.
  static func refusing(
    _ id: String, offer: String = "full", also: Set<String> = [], with error: UInt32,
    where applies: @escaping @Sendable (ModelConnection, SeenOption) -> Bool
  ) -> Violation {
    replying(id, offer: offer, also: also, where: applies) { c, o in c.reply(o.number, error) }
  }

  /// An option at which the server hangs up.
  static func hangingUp(
    _ id: String, offer: String = "full", also: Set<String> = [],
    where applies: @escaping @Sendable (ModelConnection, SeenOption) -> Bool
  ) -> Violation {
    replying(id, offer: offer, also: also, where: applies) { c, _ in c.end() }
  }

  /// Another answer to a request.
  static func answering(
    _ id: String, offer: String = "full", also: Set<String> = [],
    where applies: @escaping @Sendable (ModelConnection, SeenRequest) -> Bool,
    _ answer: @escaping @Sendable (ModelConnection, SeenRequest) -> Void
  ) -> Violation {
    Violation(
      id: id, offer: offer, also: also,
      request: { c, r in
        guard applies(c, r) else { return false }
        answer(c, r)
        return true
      })
  }

  /// A request that fails with that error; 0 is success without data.
  static func failing(
    _ id: String, offer: String = "full", also: Set<String> = [], with error: UInt32,
    where applies: @escaping @Sendable (ModelConnection, SeenRequest) -> Bool
  ) -> Violation {
    answering(id, offer: offer, also: also, where: applies) { c, r in
      if error == 0 { c.succeed(r) } else { c.fail(r, error) }
    }
  }

  /// A request that is answered with data, whatever its range.
  static func reading(
    _ id: String, offer: String = "full", also: Set<String> = [],
    where applies: @escaping @Sendable (ModelConnection, SeenRequest) -> Bool
  ) -> Violation {
    answering(id, offer: offer, also: also, where: applies) { c, r in
      let data = [UInt8](repeating: 7, count: Int(r.length))
      if c.isStructured || c.isExtended { c.chunks(r, [.data(r.offset, data)]) } else { c.simple(r, 0, data) }
    }
  }

  /// A request at which the server hangs up.
  static func dropping(
    _ id: String, offer: String = "full", where applies: @escaping @Sendable (ModelConnection, SeenRequest) -> Bool
  ) -> Violation {
    answering(id, offer: offer, where: applies) { c, _ in c.end() }
  }

  /// Chunks of a reply that are changed.
  static func chunked(
    _ id: String, offer: String = "full", also: Set<String> = [],
    where applies: @escaping @Sendable (ModelConnection, SeenRequest) -> Bool,
    _ change: @escaping @Sendable (ModelConnection, SeenRequest, inout [OutgoingChunk]) -> Void
  ) -> Violation {
    Violation(
      id: id, offer: offer, also: also,
      chunks: { c, r, chunks in
        guard applies(c, r) else { return }
        change(c, r, &chunks)
        for index in chunks.indices { chunks[index].flags = chunks[index].flags & ~1 | (index == chunks.count - 1 ? 1 : 0) }
      })
  }
}
