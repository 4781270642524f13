import NBDProtocol

/// *Option types*: `NBD_OPT_SET_META_CONTEXT`; *Metadata querying*: what is selected, and for how long.
extension Suite {
  private static let allocationName = "base:allocation"

  static let setContexts: [Check] = [
    Check("MC-020") { p in
      let session = try p.haggling()
      try p.breaking(session) {
        let answer = try session.option(.setMetaContext, p.contextData([Self.allocationName]))
        try p.expect(
          answer.final == .invalid || answer.final == .unsupported, "NBD_REP_ERR_INVALID before structured replies", answer.summary)
      }
    },
    Check("MC-021") { p in
      let session = try p.structuredWithContexts()
      let answer = try session.option(.setMetaContext, p.contextData([] as [String]))
      try p.expect(answer.replies.count == 1 && answer.isAcknowledged, "one reply, NBD_REP_ACK", answer.summary)
      try p.expectNoContext(session)
    },
    Check("MC-022") { p in
      let session = try p.structuredWithContexts()
      let answer = try session.option(.setMetaContext, p.contextData(["base:"]))
      try p.expect(answer.replies.count == 1 && answer.isAcknowledged, "one reply, NBD_REP_ACK", answer.summary)
    },
    Check("MC-023") { p in
      let session = try p.structuredWithContexts()
      let answer = try session.option(.setMetaContext, p.contextData(["qemu:"]))
      try p.expect(answer.replies.count == 1 && answer.isAcknowledged, "one reply, NBD_REP_ACK", answer.summary)
    },
    Check("MC-024") { p in
      let all = try p.need(p.facts.contexts, "the server has no metadata contexts")
      try p.need(!all.isEmpty, "the list is empty")
      let session = try p.structuredWithContexts()
      let answer = try session.option(.setMetaContext, p.contextData(Array(all.prefix(16))))
      let ids = answer.contexts.map(\.id)
      try p.expect(Set(ids).count == ids.count, "a number of its own for each context", "\(ids)")
      try p.expect(Set(answer.contextNames).isSubset(of: all), "contexts that were asked for", shown(answer.contextNames))
    },
    Check("MC-025") { p in
      try p.need(p.facts.hasAllocation, "the server has no base:allocation")
      let session = try p.structured()
      let answer = try session.option(.setMetaContext, p.contextData([Self.allocationName, Self.allocationName]))
      try p.expect(answer.contexts.count == 1, "one NBD_REP_META_CONTEXT for a query that comes twice", answer.summary)
    },
    Check("MC-026") { p in
      let session = try p.selected()
      try p.acknowledged(session, .setMetaContext, p.contextData(["base:"]))
      try p.expectNoContext(session)
    },
    Check("MC-027") { p in
      let session = try p.selected()
      try p.breaking(session) {
        let answer = try session.option(
          .setMetaContext, bytes(UInt32(p.facts.exportName.count)) + p.facts.exportName + bytes(UInt32(9)))
        try p.need(answer.final.isError, "a request that cannot be parsed is not refused")
        session.isLicensed = false
        try p.expectNoContext(session)
      }
    },
    Check("MC-028") { p in
      let session = try p.selected()
      _ = try session.option(.listMetaContext, p.contextData(["base:"]))
      try p.go(session)
      let reply = try session.request(.blockStatus, 0, p.facts.unit)
      try p.expect(reply.isSuccess, "the status of \(Self.allocationName), which was selected", reply.summary)
    },
    Check("MC-029") { p in
      let names = (p.facts.servers ?? []).map(\.name).filter { $0 != p.facts.exportName }
      let other = p.facts.acceptsAnyName ? utf8("another") : try p.need(names.first, "there is only one export")
      try p.need(p.facts.hasAllocation, "the server has no base:allocation")
      let session = try p.structured()
      try p.need(
        session.option(.setMetaContext, p.contextData([Self.allocationName], name: other)).contexts.count == 1,
        "the other export has no base:allocation")
      try p.expectNoContext(session)
    },
    Check("MC-030") { p in
      let session = try p.selected()
      _ = try p.exportName(session, isPadded: p.isPadded)
      let reply = try session.request(.blockStatus, 0, p.facts.unit)
      try p.expect(reply.isSuccess, "the status of \(Self.allocationName), which was selected", reply.summary)
    },
    Check("MC-031") { p in
      try p.need(size: p.facts.unit)
      for form in [ReplyForm.simple, .structured] where p.facts.flags[form] != nil {
        let session = try p.transmission(form)
        try p.breaking(session) {
          let reply = try session.request(.blockStatus, 0, p.facts.unit)
          try p.expect(reply.error == 22, "NBD_EINVAL, as no context was selected", reply.summary)
          try p.stillReads(session)
        }
      }
    },
    Check("MC-042") { p in
      let session = try p.transmission(.structured)
      try p.breaking(session) {
        let reply = try session.request(.blockStatus, flags: .requestOne, 0, p.facts.unit)
        try p.expect(
          !reply.isSuccess || reply.chunks.isEmpty == false, "an error chunk, or a simple error", "a simple reply of success")
        try p.expect(reply.statuses.isEmpty, "an error and no status", "the status of a context that was not selected")
      }
    },
    Check("MC-045") { p in
      try p.need(p.facts.hasAllocation, "the server has no base:allocation")
      let all = try p.listed([]).contextNames
      let session = try p.structured()
      let chosen = try p.acknowledged(session, .setMetaContext, p.contextData([Self.allocationName, "qemu:allocation-depth"]))
        .contextNames
      try p.expect(Set(chosen).isSubset(of: all), "contexts of the list \(shown(all))", shown(chosen))
    },
  ]
}

extension Probe {
  fileprivate func structuredWithContexts() throws -> Session {
    try need(facts.contexts != nil, "the server has no metadata contexts")
    return try structured()
  }

  /// In the haggling, with base:allocation selected.
  fileprivate func selected() throws -> Session {
    try need(facts.hasAllocation, "the server has no base:allocation")
    try need(size: facts.unit)
    let session = try structured()
    try select(session, ["base:allocation"])
    return session
  }

  /// Enters the transmission phase, where nothing is selected.
  fileprivate func expectNoContext(_ session: Session) throws {
    session.contexts = [:]
    try go(session)
    try breaking(session) {
      let reply = try session.request(.blockStatus, 0, facts.unit)
      // Which error is MC-031's question.
      try expect(!reply.isSuccess, "an error, as no context is selected", reply.summary)
    }
  }
}
