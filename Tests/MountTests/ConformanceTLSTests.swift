import Foundation
import TestSupport
import Testing

/// `nbdmount conformance` with servers that have TLS, want it, or do not have it.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ConformanceTLSTests {
  private struct Report: Decodable {
    struct Check: Decodable {
      let id: String
      let verdict: String
      let found: String
    }
    let checks: [Check]
  }

  /// A few checks of each kind: in the clear, inside TLS, and of everything else.
  private static let some = "OPT-019,TLS,TX-012,SR-013,MC-036"

  private func conformance(_ words: [String]) async throws -> (checks: [String: Report.Check], output: CommandOutput) {
    let command = [try Layout.nbdmount(), "conformance", "--only", Self.some, "--format", "json"] + words
    let output = try await run(command, within: .seconds(120))
    let report = try? JSONDecoder().decode(Report.self, from: Data(output.stdout.utf8))
    return (Dictionary((report?.checks ?? []).map { ($0.id, $0) }) { $1 }, output)
  }

  @Test(arguments: ["require", "on"]) func theChecksRunInsideTLSWithAKey(mode: String) async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      let (checks, output) = try await conformance([
        "--write", "--tls-psk-file", certificates.keys, "--tls-username", "alice",
        "[", "nbdkit", "--tls=\(mode)", "--tls-psk=\(certificates.keys)", "memory", "8M", "]",
      ])
      for id in ["TLS-004", "TLS-005", "TLS-013", "TLS-024", "TLS-030", "OPT-019", "TX-012", "SR-013", "MC-036"] {
        #expect(checks[id]?.verdict == "pass", "\(id): \(checks[id]?.found ?? "not there") \(output.stderr)")
      }
      #expect(checks["TLS-006"]?.verdict == (mode == "require" ? "pass" : "skip"))
      #expect(checks["TLS-022"]?.verdict == (mode == "require" ? "skip" : "pass"))
    }
  }

  @Test func theChecksRunInsideTLSWithCertificatesOfAURI() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      let folder = certificates.server(.good)
      try await withServer(.nbdkit(["--tls=require", "--tls-certificates=\(folder)", "memory", "8M"]), in: directory) { server in
        guard case .unix(let path) = server.endpoint else { throw TestFailure("no Unix socket") }
        let uri = "nbds+unix:///?socket=\(path)&tls-certificates=\(certificates.trusting)&tls-hostname=localhost"
        let (checks, output) = try await conformance(["--tls-files-from-uri", uri])
        for id in ["TLS-005", "TLS-024", "OPT-019", "TX-012"] {
          #expect(checks[id]?.verdict == "pass", "\(id): \(checks[id]?.found ?? "not there") \(output.stderr)")
        }
        // Without the last word there is no certificate to be believed.
        let (none, refused) = try await conformance([uri])
        #expect(none.isEmpty && refused.status == .exited(2) && refused.stderr.contains("--tls-files-from-uri"), "\(refused)")
        let (_, stranger) = try await conformance([
          "--tls-certificates", certificates.others, "--tls-hostname", "localhost", "--unix", path,
        ])
        #expect(stranger.status == .exited(2) && stranger.stderr.contains("not who it should be"), "\(stranger)")
      }
    }
  }

  @Test func whereTLSCannotBeHadNothingIsChecked() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      let words = ["--tls-psk-file", certificates.keys, "--tls-username", "alice"]
      let (none, output) = try await conformance(words + ["[", "nbdkit", "memory", "8M", "]"])
      #expect(none.isEmpty && output.status == .exited(2), "\(output.status)")
      #expect(output.stderr.contains("TLS was asked for, and the server does not have it"), "\(output.stderr)")
      let (checks, allowed) = try await conformance(["--tls", "allow"] + words + ["[", "nbdkit", "memory", "8M", "]"])
      #expect(checks["TX-012"]?.verdict == "pass" && checks["TLS-001"]?.verdict == "pass")
      #expect(allowed.stderr.contains("the checks ran in the clear"), "\(allowed.stderr)")
    }
  }

  @Test func whoDoesNotAskForTLSIsToldWhatToGive() async throws {
    try await withTemporaryDirectory { directory in
      let certificates = try await Certificates(in: directory)
      let (checks, output) = try await conformance([
        "[", "nbdkit", "--tls=require", "--tls-psk=\(certificates.keys)", "memory", "8M", "]",
      ])
      #expect(checks["TLS-006"]?.verdict == "pass" && checks["TX-012"]?.verdict == "skip")
      #expect(output.stderr.contains("the server wants TLS, which was not asked for"), "\(output.stderr)")
    }
  }
}
