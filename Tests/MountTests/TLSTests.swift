import Foundation
import Glibc
import TestSupport
import Testing

extension MountTests {
  /// A mount over TLS.
  @Suite struct TLSTests {
    @Test(arguments: Engine.allCases)
    func dataGoBothWaysAndTheServerMayComeBack(_ engine: Engine) async throws {
      try await withTemporaryDirectory { directory in
        let certificates = try await Certificates(in: directory)
        let image = try directory.sparseFile("image", size: 64 << 20)
        let source = directory / "source"
        try await succeed(["dd", "if=/dev/urandom", "of=\(source)", "bs=1M", "count=16", "status=none"])
        let kind = TLSServer.nbdkit.kind(image: image, certificates: certificates.server(.good))
        try await withServer(kind, over: .tcp, in: directory) { first in
          let uri = first.uri().replacingOccurrences(of: "nbd:", with: "nbds:")
          let options = ["-v", "--tls-certificates", certificates.trusting]
          try await withMount([uri], options: options, engine: engine, in: directory) { mount in
            #expect(mount.process.stderr.contains("encrypted with TLS"))
            try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=1M", "conv=fsync,notrunc", "status=none"])
            try await first.crash()
            try await withServer(kind, at: first.endpoint, in: directory) { _ in
              try await mount.succeed([
                "dd", "if=\(source)", "of=\(mount.file)", "bs=1M", "seek=20", "conv=fsync,notrunc", "status=none",
              ])
              try await mount.unmount()
            }
          }
        }
        for offset in ["0", "\(20 << 20)"] {
          try await succeed(["cmp", "-n", "\(16 << 20)", "-i", "0:\(offset)", source, image])
        }
      }
    }

    /// What is asked for and cannot be had ends in one line, and nothing is mounted.
    @Test func whoCannotBeBelievedIsNotMounted() async throws {
      try await withTemporaryDirectory { directory in
        let certificates = try await Certificates(in: directory)
        let image = try directory.sparseFile("image", size: 1 << 20)
        let kind = TLSServer.nbdkit.kind(image: image, certificates: certificates.server(.good))
        let place = try directory.subdirectory("mnt")
        try await withServer(kind, over: .tcp, in: directory) { server in
          let secret = server.uri().replacingOccurrences(of: "nbd:", with: "nbds:")
          let trusted = ["--tls-certificates", certificates.trusting]
          let refusals: [(options: [String], uri: String, word: String)] = [
            (["--tls-certificates", certificates.others], secret, "not who it should be"),
            (trusted + ["--tls-hostname", "elsewhere.example"], secret, "not who it should be"),
            (["--tls", "off"], secret, "requires TLS"),
            ([], secret + "?tls-certificates=\(certificates.trusting)", "--tls-files-from-uri"),
            ([], server.uri(), "it wants TLS first"),
            (trusted + ["--tls-psk-file", certificates.keys], secret, "does not go with"),
          ]
          for refusal in refusals {
            let output = try await run([Layout.nbdmount()] + refusal.options + [place, refusal.uri])
            #expect(output.status == .exited(1) && output.stderr.contains(refusal.word), "\(refusal): \(output)")
            #expect(output.stderr.split(separator: "\n").count == 1)
          }
          let allowed = secret + "?tls-certificates=\(certificates.trusting)"
          try await withMount([allowed], options: ["--tls-files-from-uri"], engine: .reactor, in: directory) { mount in
            try await mount.succeed(["cmp", "-n", "\(1 << 20)", mount.file, "/dev/zero"])
          }
        }
      }
    }
  }
}
