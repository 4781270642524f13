import NBDProtocol

/// *Option types*: `NBD_OPT_LIST_META_CONTEXT`; *The base: metadata namespace*.
extension Suite {
  static let listContexts: [Check] = [
    Check("MC-001") { p in
      let answer = try p.listed([])
      try p.expect(
        answer.replies.dropLast().allSatisfy { $0.type == .metaContext } && (answer.isAcknowledged || answer.final.isError),
        "NBD_REP_META_CONTEXT, and then NBD_REP_ACK or an error", answer.summary)
    },
    .observed("MC-002") { p in try p.need(!p.listed([]).contexts.isEmpty, "the list is empty") },
    Check("MC-003") { p in
      try p.need(p.facts.contexts != nil, "the server has no metadata contexts")
      let answer = try p.haggling().option(.listMetaContext, p.contextData([] as [String]))
      let isFine = answer.isAcknowledged || [.invalid, .unsupported, .policy].contains(answer.final)
      try p.expect(isFine, "a list, or NBD_REP_ERR_INVALID", answer.summary)
    },
    Check("MC-004") { p in
      let all = try p.listed([]).contextNames
      let base = try p.listed(["base:"]).contextNames
      try p.expect(Set(base).isSubset(of: all), "all of \(shown(base)) in the list of everything", shown(all))
    },
    Check("MC-005") { p in
      try p.need(p.facts.contexts != nil, "the server has no metadata contexts")
      let session = try p.structured()
      _ = try session.option(.info, p.information())
      let answer = try session.option(.listMetaContext, p.contextData([] as [String]))
      try p.expect(answer.final != .tooBig, "a list", answer.summary)
    },
    Check("MC-006") { p in
      let all = try p.listed([]).contextNames
      try p.need(all.contains("base:allocation"), "the server has no base:allocation")
      let base = try p.listed(["base:"]).contextNames
      try p.expect(base.contains("base:allocation"), "base:allocation in answer to base:", shown(base))
    },
    Check("MC-007") { p in
      try p.need(p.facts.hasAllocation, "the server has no base:allocation")
      let names = try p.listed(["base:allocation"]).contextNames
      try p.expect(names == ["base:allocation"], "base:allocation only", shown(names))
    },
    Check("MC-044") { p in
      for namespace in ["base:", "qemu:"] {
        let names = try p.listed([namespace]).contextNames
        try p.expect(names.allSatisfy { $0.hasPrefix(namespace) }, "names that begin with \(namespace)", shown(names))
      }
    },
    Check("MC-010") { p in
      let answer = try p.listed(["x-foo:bar"])
      try p.expect(answer.replies.count == 1 && answer.isAcknowledged, "one reply, NBD_REP_ACK", answer.summary)
    },
    .observed("MC-018") { p in try p.need(!p.listed([]).contexts.isEmpty, "the list is empty") },
    .observed("MC-019") { p in try p.need(!p.listed([]).contexts.isEmpty, "the list is empty") },
    Check("MC-043") { p in
      let session = try p.haggling()
      for option in [OptionType.listMetaContext, .setMetaContext] {
        let answer = try session.option(option, p.contextData([] as [String]))
        try p.expect(
          answer.isAcknowledged || answer.final.isError, "NBD_REP_ACK or an error, such as NBD_REP_ERR_UNSUP", answer.summary)
        try p.inSync(session)
      }
    },
    Check("EH-026") { p in
      try p.need(p.facts.contexts != nil, "the server has no metadata contexts")
      let session = try p.structured()
      for option in [OptionType.listMetaContext, .setMetaContext] {
        let answer = try session.option(option, p.contextData(["base:"]))
        try p.expect(answer.final != .extendedHeadersRequired, "any other answer to \(option) about base:", answer.summary)
      }
      guard p.facts.flags[.extended] != nil else { return }
      let extended = try p.haggling()
      try p.agree(extended, .extended)
      let answer = try extended.option(.listMetaContext, p.contextData([] as [String]))
      try p.expect(answer.final != .extendedHeadersRequired, "any other answer after extended headers", answer.summary)
    },
  ]
}

extension Probe {
  /// In the haggling, with structured replies agreed.
  func structured() throws -> Session {
    try need(.structured)
    let session = try haggling()
    try agree(session, .structured)
    return session
  }

  /// The contexts that match, of a server that has contexts at all.
  func listed(_ queries: [String]) throws -> OptionAnswer {
    try need(facts.contexts != nil, "the server has no metadata contexts")
    return try acknowledged(structured(), .listMetaContext, contextData(queries))
  }
}
