import NBDProtocol

/// Queries for metadata contexts that match nothing, and requests that cannot be parsed. Both options have one syntax.
extension Suite {
  private static let options = [OptionType.listMetaContext, .setMetaContext]

  static let contextSyntax: [Check] = [
    Check("MC-008") { p in
      try p.forBoth(["base:nonexist"]) { option, answer in
        try p.expect(answer.isAcknowledged && answer.contexts.isEmpty, "NBD_REP_ACK and no context to \(option)", answer.summary)
      }
    },
    Check("MC-009") { p in
      try p.forBoth(["x-foo:bar", "x-unknown:"]) { option, answer in
        try p.expect(answer.isAcknowledged && answer.contexts.isEmpty, "NBD_REP_ACK and no context to \(option)", answer.summary)
      }
      guard p.facts.hasAllocation else { return }
      try p.forBoth(["x-foo:bar", "base:allocation"]) { option, answer in
        try p.expect(answer.contextNames == ["base:allocation"], "base:allocation only to \(option)", answer.summary)
      }
    },
    Check("MC-011") { p in
      for query in ["nocolon", "", ":", "base"] {
        try p.forBoth([query]) { option, answer in
          try p.expect(
            (answer.isAcknowledged || answer.final == .invalid) && answer.contexts.isEmpty,
            "NBD_REP_ACK or NBD_REP_ERR_INVALID, and no context, to \"\(query)\"", answer.summary)
        }
      }
    },
    Check("MC-012") { p in
      for query in ["base:alloc", "base:allocation:x", "BASE:ALLOCATION"] {
        try p.forBoth([query]) { option, answer in
          try p.expect(answer.contexts.isEmpty, "no context to \"\(query)\"", shown(answer.contextNames))
        }
      }
    },
    Check("MC-013") { p in
      let name = bytes(UInt32(p.facts.exportName.count)) + p.facts.exportName
      let query = bytes(UInt32(15)) + utf8("base:allocation")
      let requests: [(String, [UInt8])] = [
        ("a name that ends outside", bytes(UInt32(p.facts.exportName.count + 99)) + p.facts.exportName + bytes(UInt32(0))),
        ("a query that ends outside", name + bytes(UInt32(1)) + bytes(UInt32(99)) + utf8("base:allocation")),
        ("2 queries announced and 1 there", name + bytes(UInt32(2)) + query),
        ("2^32-1 queries announced", name + bytes(UInt32.max) + query),
        ("no data", []), ("3 bytes of data", [0, 0, 0]), ("no count of queries", name),
      ]
      for (what, data) in requests { try p.unparseable(what, data, mayAcknowledge: false) }
    },
    Check("MC-014") { p in
      let name = bytes(UInt32(p.facts.exportName.count)) + p.facts.exportName
      let query = bytes(UInt32(15)) + utf8("base:allocation")
      let requests: [(String, [UInt8])] = [
        ("4 bytes behind the last query", name + bytes(UInt32(1)) + query + [0, 0, 0, 1]),
        ("1 query announced and 2 there", name + bytes(UInt32(1)) + query + query),
        ("no query announced and 1 there", name + bytes(UInt32(0)) + query),
      ]
      for (what, data) in requests { try p.unparseable(what, data, mayAcknowledge: true) }
    },
    Check("MC-015") { p in
      try p.need(!p.facts.acceptsAnyName, "the server accepts any name")
      try p.need(p.facts.contexts != nil, "the server has no metadata contexts")
      for option in Self.options {
        let answer = try p.structured().option(option, p.contextData(["base:allocation"], name: Probe.strangeName))
        try p.expect(
          answer.final.isError && answer.contexts.isEmpty, "NBD_REP_ERR_UNKNOWN to \(option) for an unknown export", answer.summary)
      }
    },
    Check("MC-016") { p in
      try p.need(p.facts.contexts != nil, "the server has no metadata contexts")
      for (what, query) in [
        ("with a NUL", utf8("base:allocation\0")), ("of 4097 bytes", utf8("base:allocation") + Array(repeating: 97, count: 4082)),
      ] {
        for option in Self.options {
          let session = try p.structured()
          try p.breaking(session) {
            let answer = try session.option(option, p.contextData([query]))
            try p.expect(answer.contexts.isEmpty, "no context to a query \(what)", shown(answer.contextNames))
            try p.inSync(session)
          }
        }
      }
    },
    Check("MC-017") { p in
      try p.need(p.facts.contexts != nil, "the server has no metadata contexts")
      for count in [500, 3000] {
        let session = try p.structured()
        let answer = try session.option(.listMetaContext, p.contextData((0..<count).map { "x-many:\($0)" }))
        try p.expect(
          answer.isAcknowledged || answer.final == .tooBig, "NBD_REP_ACK or NBD_REP_ERR_TOO_BIG to \(count) queries", answer.summary
        )
        try p.inSync(session)
      }
    },
  ]
}

extension Probe {
  /// Asks for the queries with both options, each in a session of its own.
  fileprivate func forBoth(_ queries: [String], _ judge: (OptionType, OptionAnswer) throws -> Void) throws {
    try need(facts.contexts != nil, "the server has no metadata contexts")
    for option in [OptionType.listMetaContext, .setMetaContext] {
      try judge(option, try structured().option(option, contextData(queries)))
    }
  }

  /// A request that breaks the syntax: NBD_REP_ERR_INVALID, and the next option is understood.
  fileprivate func unparseable(_ what: String, _ data: [UInt8], mayAcknowledge: Bool) throws {
    try need(facts.contexts != nil, "the server has no metadata contexts")
    for option in [OptionType.listMetaContext, .setMetaContext] {
      let session = try structured()
      try breaking(session) {
        let answer = try session.option(option, data)
        try inSync(session)
        if mayAcknowledge { try prefer(!answer.isAcknowledged, "NBD_REP_ERR_INVALID to \(option) with \(what)", answer.summary) }
        try expect(answer.final == .invalid, "NBD_REP_ERR_INVALID to \(option) with \(what)", answer.summary)
      }
    }
  }
}
