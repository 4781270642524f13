import NBDProtocol

/// TLS in a conversation: from there on every message is what is inside it.
extension Session {
  /// What is said goes through TLS.
  var isProtected: Bool { stream.protection != nil }

  /// Begins TLS, which the server has agreed to, and forgets what was agreed before.
  ///
  /// - Returns: why it does not begin; nil where it does.
  func beginTLS(_ credentials: TLSCredentials, _ versions: TLSVersions = .current) -> NBDError? {
    do throws(NBDError) {
      try stream.startTLS(credentials, versions, until: min(stream.deadline, .after(milliseconds: settings.timeout)))
    } catch {
      hasMetItsEnd = true
      log(.event, "TLS does not begin: \(error)")
      return error
    }
    form = .simple
    contexts = [:]
    log(.event, "TLS begins (\(stream.protection ?? ""))")
    return nil
  }

  /// For messages: how a connection ended that has ended.
  var ending: String {
    if let breakage = stream.breakage { return ": \(breakage)" }
    return isProtected ? ", with close_notify" : ""
  }
}
