import NBDProtocol
import Testing

/// Questions to a real server that do not enter the transmission phase.
@Suite(.timeLimit(.minutes(10))) struct ServerQueryTests {
  @Test func anExportIsListedDescribedAndAskedForItsContexts() async throws {
    try await onThread {
      let command = [
        "nbdkit", "--filter=exportname", "memory", "3M", "exportname=disk", "exportname=other", "exportname-list=explicit",
      ]
      let server = try ServerEndpoint(.socketActivation(command))
      defer { server.shutdown() }
      #expect(try server.exports().map(\.name) == ["disk", "other"])
      let export = try server.information(about: "disk")
      #expect(export.size == 3 << 20)
      #expect(export.flags.contains([.sendFlush, .sendFUA, .canMultiConn]))
      #expect(try server.contexts(of: "disk").map(\.name) == [MetadataContext.baseAllocation])
      #expect(try server.contexts(of: "disk", matching: ["base:"]).map(\.name) == [MetadataContext.baseAllocation])
    }
  }

  @Test func aServerThatKeepsItsExportsToItselfRefuses() async throws {
    let server = try ScriptedServer { _ in }
    try await onThread {
      // The scripted server knows no NBD_OPT_LIST.
      let endpoint = try ServerEndpoint(.unix(path: Array(server.path.utf8)))
      let error = #expect(throws: NBDError.self) { try endpoint.exports() }
      guard case .refused(.list, .unsupported, _) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
    }
  }
}
