import Foundation
import TestSupport
import Testing

extension MountTests {
  /// What cannot be mounted is refused in one line that says why, and leaves nothing behind.
  @Suite struct BadInputTests {
    enum Greeting: String, CaseIterable, Sendable {
      case web = "another protocol"
      case secondMagic = "wrong second magic"
      case cutInMagic = "cut inside the magic"
      case cutInFlags = "cut before the flags"
      case empty = "closed at once"
      case hugeSize = "size 2^63"
      case largestSize = "size 2^64-1"

      var bytes: [UInt8] {
        let magic = Array("NBDMAGIC".utf8)
        let oldstyle: [UInt8] = magic + [0x00, 0x00, 0x42, 0x02, 0x81, 0x86, 0x12, 0x53]
        let flags: [UInt8] = [0, 0, 0, 1] + [UInt8](repeating: 0, count: 124)
        return switch self {
        case .web: Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
        case .secondMagic: magic + Array("IHAVEOPX".utf8) + [0, 3]
        case .cutInMagic: Array("NBDMA".utf8)
        case .cutInFlags: magic + Array("IHAVEOPT".utf8)
        case .empty: []
        case .hugeSize: oldstyle + [0x80, 0, 0, 0, 0, 0, 0, 0] + flags
        case .largestSize: oldstyle + [UInt8](repeating: 0xff, count: 8) + flags
        }
      }

      /// What the message has to speak of.
      var words: [String] {
        switch self {
        case .web: ["expected", "NBDMAGIC", "found", "HTTP/1.1"]
        case .secondMagic: ["expected", "IHAVEOPT", "found"]
        case .cutInMagic, .cutInFlags, .empty: ["closed"]
        case .hugeSize: ["9223372036854775808", "9223372036854775807"]
        case .largestSize: ["18446744073709551615", "9223372036854775807"]
        }
      }
    }

    @Test(arguments: Client.perEngine, Greeting.allCases)
    func badGreetingIsRefused(_ client: Client, _ greeting: Greeting) async throws {
      try await withTemporaryDirectory { directory in
        let server = try GreetingServer(greeting.bytes, hangsUp: true, in: directory)
        try await expectRefusal([server.uri], by: client, naming: greeting.words, in: directory)
      }
    }

    @Test(arguments: Client.perEngine)
    func exportThatDoesNotExistIsNamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: mib)
        try await withServer(.nbdServer(image: image), in: directory) { server in
          try await expectRefusal(
            [server.uri(export: "nosuch")], by: client, naming: ["does not serve the export \"nosuch\""], in: directory)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func theNamesThatTheServerListsAreShown(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let disks = try directory.subdirectory("disks")
        for name in ["one", "two"] { _ = try directory.sparseFile("disks/\(name)", size: mib) }
        try await withServer(.nbdkit(["file", "dir=\(disks)"]), in: directory) { server in
          try await expectRefusal(
            [server.uri(export: "three")], by: client, naming: ["export \"three\"", "it lists ", "\"one\"", "\"two\""],
            in: directory)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func serverThatCannotOpenTheExportIsReported(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit(["eval", "get_size=echo 1M", "open=echo EPERM not for you >&2; exit 1"])
        try await withServer(server, in: directory) { server in
          try await expectRefusal([server.uri()], by: client, naming: ["does not serve a default export"], in: directory)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func tlsWithAServerThatHasNoneIsRefused(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), over: .tcp, in: directory) { server in
          let uri = server.uri().replacingOccurrences(of: "nbd:", with: "nbds:")
          try await expectRefusal([uri], by: client, naming: ["TLS"], in: directory)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func missingSocketIsNamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let path = directory / "none.sock"
        try await expectRefusal(
          [Endpoint.unix(path: path).uri()], by: client, naming: [path, "No such file or directory"], in: directory)
      }
    }

    /// A label of 64 letters cannot be a name, so that no name server has to say so.
    @Test(arguments: Client.perEngine)
    func nameThatDoesNotResolveIsNamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let name = String(repeating: "a", count: 64)
        try await expectRefusal(["nbd://\(name)/"], by: client, naming: [name], in: directory)
      }
    }

    @Test(arguments: Client.perEngine)
    func portWithoutAServerIsNamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let port = try ClosedPort()
        try await expectRefusal(
          ["nbd://127.0.0.1:\(port.number)/"], by: client, naming: ["127.0.0.1", "Connection refused"], in: directory)
      }
    }

    static let badURIs = [
      ("nbd:", "nbd:"), ("nbd+tcp://127.0.0.1", "nbd+tcp"), ("ftp://127.0.0.1/", "ftp"), ("nbd+unix:///", "socket"),
      ("nbd+unix:///?socket=", "socket"), ("nbd://127.0.0.1:99999/", "port"), ("nonsense", "nonsense"),
    ]

    @Test(arguments: Client.perEngine, badURIs)
    func badURIIsRefused(_ client: Client, _ bad: (uri: String, culprit: String)) async throws {
      try await withTemporaryDirectory { directory in
        try await expectRefusal([bad.uri], by: client, naming: [bad.culprit], in: directory)
      }
    }

    @Test(arguments: Client.perEngine)
    func unknownParameterOfTheURIIsNamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await expectRefusal([server.uri() + "&nosuch=1"], by: client, naming: ["nosuch"], in: directory)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func missingMountpointIsNamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          let path = directory / "none/at all"
          try await expectRefusal(
            [server.uri()], at: path, by: client, naming: ["no such directory: \(directory / "none"); make it first"],
            in: directory)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func commandThatFailsIsNamedWithItsEnd(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        for mode in [["[", "false", "]"], ["--command", "false"]] {
          try await expectRefusal(mode, by: client, naming: ["false", "exited with status 1"], in: directory)
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func commandThatIsMissingIsNamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        for mode in [["[", "no-such-server", "]"], ["--command", "no-such-server"]] {
          try await expectRefusal(mode, by: client, naming: ["no-such-server"], in: directory)
        }
      }
    }

    /// In a mount namespace of its own, with a /dev that holds nothing but the shared memory that tests may use.
    @Test(arguments: Client.perEngine)
    func missingFuseDeviceIsNamed(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let script = """
          mount -t tmpfs none "$0" && mkdir "$0/shm" && mount --rbind /dev/shm "$0/shm" && mount --move "$0" /dev \\
            && exec "$@"
          """
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          try await expectRefusal(
            [server.uri()], by: client, naming: ["/dev/fuse"], in: directory,
            launcher: ["unshare", "--mount", "sh", "-c", script, try directory.subdirectory("dev")])
        }
      }
    }
  }
}

/// `nbdmount` ends with status 1, says one line on standard error that holds all `words`, and mounts nothing.
private func expectRefusal(
  _ mode: [String], at mountpoint: String? = nil, by client: Client, naming words: [String],
  in directory: TemporaryDirectory, launcher: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let mountpoint = try mountpoint ?? directory.subdirectory("mnt\(UInt32.random(in: 0 ... .max))")
  let program = launcher + [try Layout.nbdmount(), "--engine", client.engine.rawValue]
  let output = try await run(program + [mountpoint] + mode, within: .seconds(20))
  #expect(output.status == .exited(1), "\(output)", sourceLocation: sourceLocation)
  #expect(output.stdout.isEmpty, sourceLocation: sourceLocation)
  #expect(output.stderr.split(separator: "\n").count == 1, "\(output.stderr)", sourceLocation: sourceLocation)
  for word in words {
    #expect(output.stderr.contains(word), sourceLocation: sourceLocation)
  }
  #expect(MountTable.entry(at: mountpoint) == nil, sourceLocation: sourceLocation)
}
