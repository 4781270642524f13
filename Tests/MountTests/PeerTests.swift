import TestSupport
import Testing

extension MountTests {
  /// The newest servers, of which some speak extended headers.
  @Suite struct PeerTests {
    enum Peer: String, CaseIterable, Sendable {
      case nbdkit = "nbdkit-testing"
      case qemuNBD = "qemu-nbd-testing"
      case nbdServer = "nbd-server-testing"

      var export: String { self == .nbdServer ? "disk" : "" }

      func kind(size: UInt64, in directory: TemporaryDirectory) async throws -> ServerKind {
        let program = try Layout.peer(rawValue)
        switch self {
        case .nbdkit: return .nbdkit(["memory", "\(size)"], program: program)
        case .nbdServer:
          return .nbdServer(image: try directory.sparseFile("disk.img", size: size), program: program)
        case .qemuNBD:
          let image = directory / "disk.qcow2"
          try await succeed(["qemu-img", "create", "-q", "-f", "qcow2", image, "\(size)"])
          return .qemuNBD(["--format=qcow2", "--discard=unmap", image], program: program)
        }
      }
    }

    /// qemu-nbd speaks them; of the others, nbdmount says that they refused.
    @Test(arguments: Client.perEngine, Peer.allCases)
    func extendedHeadersAreNegotiatedWhereTheyAreSpoken(_ client: Client, _ peer: Peer) async throws {
      try await withTemporaryDirectory { directory in
        let kind = try await peer.kind(size: mib, in: directory)
        try await withMountedServer(kind, export: peer.export, options: ["-v"], by: client, in: directory) { mount in
          try await mount.succeed(["cmp", "--bytes=65536", "/dev/zero", mount.file])
          let said = mount.process.stderr
          let isRefused = said.contains("no extended headers: the server refused NBD_OPT_EXTENDED_HEADERS")
          #expect(said.contains("extended replies") != isRefused, "\(said)")
          if peer == .qemuNBD { #expect(!isRefused) }
        }
      }
    }

    @Test(arguments: Client.all, Peer.allCases)
    func takesAndGivesBackData(_ client: Client, _ peer: Peer) async throws {
      try await withTemporaryDirectory { directory in
        try await expectRoundTrip(
          peer.kind(size: 64 * mib, in: directory), size: 64 * mib, export: peer.export, by: client, in: directory)
      }
    }

    @Test(arguments: Client.perEngine, Peer.allCases)
    func punchesHolesThatAreZeros(_ client: Client, _ peer: Peer) async throws {
      try await withTemporaryDirectory { directory in
        let expected = try await Pattern.file("expected", size: 8 * mib, in: directory)
        try await withServer(peer.kind(size: 8 * mib, in: directory), in: directory) { server in
          try await client.mount(server, export: peer.export, in: directory) { mount in
            try await mount.succeed(["dd", "if=\(expected)", "of=\(mount.file)", "bs=1M", "conv=notrunc,fsync"])
            try await mount.succeed(ZeroingRequest.punchHole.command(mib + 100, 3 * mib, on: mount.file))
            try await succeed(ZeroingRequest.punchHole.command(mib + 100, 3 * mib, on: expected))
          }
          try await client.mount(server, export: peer.export, in: directory) { mount in
            try await mount.succeed(["cmp", expected, mount.file])
          }
        }
      }
    }

    @Test(arguments: Client.all, Peer.allCases)
    func fioVerifiesDeepDirectWrites(_ client: Client, _ peer: Peer) async throws {
      try await withTemporaryDirectory { directory in
        let kind = try await peer.kind(size: 64 * mib, in: directory)
        try await withMountedServer(kind, export: peer.export, by: client, in: directory) { mount in
          try await mount.succeed(fioVerify(mount.file), within: .seconds(120))
        }
      }
    }
  }
}
