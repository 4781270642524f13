import Testing

@testable import NBDMount

/// The command line of `nbdmount conformance`.
@Suite struct ConformanceCommandTests {
  private func outcome(_ line: String) -> CommandLineOutcome {
    CommandLineOutcome(arguments: line.split(separator: " ").map(String.init))
  }

  private func configuration(_ line: String) throws -> ConformanceConfiguration {
    guard case .conformance(let configuration) = outcome(line) else {
      throw UsageError("\(line): \(outcome(line))")
    }
    return configuration
  }

  @Test func theServerIsGivenAsForAMount() throws {
    let uri = "nbd://localhost/disk"
    #expect(try configuration("conformance \(uri)").action == .run(server: .uri(uri), only: []))
    #expect(try configuration("conformance --tcp h 1").action == .run(server: .tcp(host: "h", port: 1), only: []))
    #expect(try configuration("conformance --unix /s").action == .run(server: .unix(path: "/s"), only: []))
    #expect(
      try configuration("conformance [ nbdkit -v null ]").action
        == .run(server: .socketActivation(["nbdkit", "-v", "null"]), only: []))
    #expect(
      try configuration("conformance --command nbdkit -s null").action
        == .run(server: .command(["nbdkit", "-s", "null"]), only: []))
  }

  @Test func optionsMayComeBeforeAndAfter() throws {
    for line in [
      "conformance --write --strict --format json U:", "conformance U: --write --strict --format=json",
      "--write conformance --strict U: --form json",
    ] {
      let configuration = try configuration(line)
      #expect(configuration.writes && configuration.isStrict && configuration.format == .json, "\(line)")
    }
    #expect(try configuration("conformance --timeout 0.5 U:").timeout == 500)
    #expect(
      try configuration("conformance --only option,TX-030 U:").action == .run(server: .uri("U:"), only: ["option", "TX-030"]))
    #expect(try configuration("conformance --export disk --unix /s").exportName == "disk")
  }

  @Test func tlsIsAskedForAsForAMount() throws {
    #expect(try configuration("conformance U:").tls == TLSOptions())
    let keys = try configuration("conformance --tls-psk-file /k --tls-username alice --tls-files-from-uri U:").tls
    #expect(keys.configuration?.policy == .require && keys.usesFilesOfURI)
    #expect(keys.configuration?.preSharedKeyFile == "/k" && keys.configuration?.username == "alice")
    let certificates = try configuration(
      "--tls-certificates /d conformance --tls=allow --tls-hostname h U: --tls-verify-peer 0"
    ).tls
    #expect(certificates.configuration?.policy == .allow && certificates.configuration?.certificates == "/d")
    #expect(certificates.configuration?.hostname == "h" && certificates.configuration?.verifiesPeer == false)
    #expect(try configuration("conformance --tls off U:").tls.configuration?.policy == .off)
  }

  @Test func whatNeedsNoServer() throws {
    #expect(try configuration("conformance --list").action == .list(only: []))
    #expect(try configuration("conformance --explain opt-014").action == .explain("OPT-014", server: nil))
    #expect(try configuration("conformance --explain OPT-014 U:").action == .explain("OPT-014", server: .uri("U:")))
    #expect(try configuration("conformance --compare a.json b.json").action == .compare(["a.json", "b.json"]))
  }

  @Test func helpIsShown() {
    guard case .show(let text) = outcome("conformance --help") else { return #expect(Bool(false)) }
    #expect(text.contains("--explain") && text.contains("Exit status"))
  }

  @Test(arguments: [
    "conformance", "conformance --fd 3", "conformance --timeout 0 U:", "conformance --timeout x U:", "conformance --format yaml U:",
    "conformance --only nonsense U:", "conformance --explain XX-000", "conformance --compare", "conformance --list x",
    "conformance --compare --list", "conformance --export a U:", "conformance --nonsense U:",
    "conformance --compare --format tap a.json", "conformance --tls nonsense U:", "conformance --tls off --tls-username a U:",
    "conformance --tls-certificates /d --tls-psk-file /k U:", "conformance --tls-verify-peer 2 U:",
  ])
  func whatMakesNoSenseIsRefused(line: String) {
    guard case .refuseConformance(let text) = outcome(line) else { return #expect(Bool(false), "\(line): \(outcome(line))") }
    #expect(!text.isEmpty && !text.contains("\n"))
  }

  @Test(arguments: ["./conformance U:", "conformance/ U:", "/conformance U:", "-r ./conformance U:", "dir/conformance U:"])
  func aMountpointOfThatNameIsWrittenWithASlash(line: String) {
    guard case .mount(let configuration) = outcome(line) else { return #expect(Bool(false), "\(line)") }
    #expect(configuration.mountpoint.contains("conformance"))
  }
}
