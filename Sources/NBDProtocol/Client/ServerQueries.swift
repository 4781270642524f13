/// What a server tells without entering the transmission phase. Each call makes a connection of its own, asks, and leaves
/// softly; all of them block.
extension ServerEndpoint {
  /// The exports that the server names (`NBD_OPT_LIST`), in its order.
  ///
  /// - Throws: ``NBDError/refused(option:reply:message:)`` where the server keeps them to itself; what connecting and
  ///   negotiating throw.
  public func exports() throws(NBDError) -> [ExportListing] {
    guard case .exports(let list) = try ask(HandshakeRequest(goal: .list)) else { throw Self.wrongAnswer }
    return list
  }

  /// What the server says about one export (`NBD_OPT_INFO`). Its contexts are those of the request that it selected.
  public func information(about exportName: String) throws(NBDError) -> Export {
    let request = HandshakeRequest(exportName: exportName, goal: .information)
    guard case .information(let export) = try ask(request) else { throw Self.wrongAnswer }
    return export
  }

  /// The metadata contexts that an export has (`NBD_OPT_LIST_META_CONTEXT`); their numbers mean nothing here.
  ///
  /// - Parameter queries: each a namespace, a colon and what that namespace allows; none asks for all.
  public func contexts(of exportName: String, matching queries: [String] = []) throws(NBDError) -> [MetadataContext] {
    let request = HandshakeRequest(exportName: exportName, goal: .listContexts(queries: queries))
    guard case .contexts(let contexts) = try ask(request) else { throw Self.wrongAnswer }
    return contexts
  }

  private func ask(_ request: HandshakeRequest) throws(NBDError) -> HandshakeMachine.Outcome {
    let deadline = Deadline.after(milliseconds: Limits.negotiationSeconds * 1000)
    var channel = Channel(try connect(deadline: deadline))
    return try Negotiator.run(request, tls, over: &channel, until: deadline).outcome
  }

  private static var wrongAnswer: NBDError { .disconnected("the negotiation ended with another goal's answer") }
}
