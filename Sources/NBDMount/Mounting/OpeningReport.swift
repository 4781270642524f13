import Logging
import NBDProtocol

/// What is said of an export when it has been opened, or could not be.
enum OpeningReport {
  /// Names that are listed at most.
  private static let mostNames = 8

  /// What was agreed on, for `--verbose`; and for everybody, what a reader would not expect.
  static func opened(_ opened: OpenedConnections, at address: ServerAddress) {
    let connections = opened.connections
    let export = connections[0].export
    let log = Logger(label: "nbdmount")
    for note in opened.notes { log.debug("\(note)") }
    let sizes = export.blockSizes
    let blocks = "blocks of \(sizes.minimum) to \(sizes.maximumPayload) bytes, best \(sizes.preferred)"
    let number = connections.count == 1 ? "1 connection" : "\(connections.count) connections"
    let replies = "\(export.replies) replies, \(export.isEncrypted ? "TLS" : "no TLS")"
    log.debug("export \"\(export.name)\" of \(address): \(export.size) bytes, \(blocks), \(number), \(replies)")
    if export.reachableSize < export.size {
      Diagnostics.warning(
        "the export has \(export.size) bytes, which its minimum block size \(sizes.minimum) does not divide: the last "
          + "\(export.size - export.reachableSize) cannot be reached, and the file has \(export.reachableSize)")
    }
  }

  /// Why the export of `request` could not be opened, in words for whoever asked for it.
  static func explained(_ error: NBDError, _ request: HandshakeRequest, _ endpoint: ServerEndpoint) -> NBDError {
    switch error {
    case .refused(_, .unknownExport, let message):
      let what = request.exportName.isEmpty ? "a default export" : "the export \"\(request.exportName)\""
      // It need not list them, and a command serves one connection only.
      let listed = (try? endpoint.exports()).map { list($0.map(\.name)) } ?? ""
      return .invalidArgument("the server does not serve \(what)" + (message.isEmpty ? "" : ": \(message)") + listed)
    case .disconnected(let reason):
      guard let ending = endpoint.processEnding else { return error }
      return .disconnected("\(endpoint.address) \(ending): \(reason)")
    default:
      return error
    }
  }

  /// The end of a sentence about a server: which exports it names.
  static func list(_ names: [String]) -> String {
    guard !names.isEmpty else { return "" }
    let shown = names.prefix(mostNames).map { "\"\($0)\"" }.joined(separator: ", ")
    return "; it lists " + shown + (names.count > mostNames ? " and \(names.count - mostNames) more" : "")
  }
}
