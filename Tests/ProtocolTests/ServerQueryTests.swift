import NBDProtocol
import Testing

/// Questions to a real server that do not enter the transmission phase.
@Suite struct ServerQueryTests {
  @Test func anExportIsListedDescribedAndAskedForItsContexts() async throws {
    try await onThread {
      let server = try ServerEndpoint(.socketActivation(["nbdkit", "-e", "disk", "memory", "3M"]))
      defer { server.shutdown() }
      #expect(try server.exports().count == 1)
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
      #expect(throws: NBDError.self) { try endpoint.exports() }
    }
  }
}
