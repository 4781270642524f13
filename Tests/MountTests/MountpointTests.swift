import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Where the disk can appear, and the ways of naming the server.
  @Suite struct MountpointTests {
    enum Form: String, CaseIterable, Sendable {
      case directory
      case name = "directory and name"
      case file = "regular file"
      case blank = "path with a blank"
    }

    @Test(arguments: Client.perEngine, Form.allCases)
    func diskAppearsWhereItWasAskedFor(_ client: Client, _ form: Form) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: 100_003, in: directory)
        let place: Mount.Place =
          switch form {
          case .directory: .directory(try directory.subdirectory("mnt"))
          case .name: .named("disk.img", in: try directory.subdirectory("mnt"))
          case .file: .over(try directory.sparseFile("covered", size: 7))
          case .blank: .directory(try directory.subdirectory("mount point"))
          }
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          try await withMount([server.uri()], engine: client.engine, at: place, in: directory) { mount in
            #expect(mount.entry?.type == "fuse.nbdmount")
            #expect(mount.entry?.source == server.uri())
            try await mount.succeed(["cmp", image, mount.file])
            #expect(try await mount.unmount() == .success)
            #expect(mount.entry == nil)
          }
        }
        if form == .file {
          let size = try FileManager.default.attributesOfItem(atPath: directory / "covered")[.size] as? Int
          #expect(size == 7, "what was covered is as it was")
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func unmountedDirectoryCanBeMountedAgain(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let place = Mount.Place.directory(try directory.subdirectory("mnt"))
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          for _ in 0..<3 {
            try await withMount([server.uri()], engine: client.engine, at: place, in: directory) { mount in
              try await mount.succeed(copyRange(0, 4096, from: "/dev/zero", to: mount.file))
            }
          }
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func pidFileNamesTheProcessWhileItIsMounted(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let pidFile = directory / "pid"
        try await withServer(.nbdkit(["memory", "1M"]), in: directory) { server in
          // The last of two is the one that counts; the harness waits for its own too.
          let mountpoint = try directory.subdirectory("mnt")
          let child = try ChildProcess([
            try Layout.nbdmount(), "--engine", client.engine.rawValue, "--pidfile", pidFile, mountpoint, server.uri(),
          ])
          do {
            try await FileArrival.wait(for: pidFile, by: child, within: .seconds(20))
            #expect(try String(contentsOfFile: pidFile, encoding: .utf8) == "\(child.pid)\n")
            #expect(MountTable.entry(at: mountpoint) != nil, "ready before it was mounted")
            try await succeed(["fusermount3", "-u", mountpoint])
            #expect(try await child.exitStatus(within: .seconds(10)) == .success)
          } catch {
            _ = try? await run(["umount", "-l", mountpoint])
            await child.terminate()
            throw error
          }
          #expect(!FileManager.default.fileExists(atPath: pidFile))
        }
      }
    }
  }

  @Suite struct ModeTests {
    /// nbdkit as a child of nbdmount, over a socket passed as systemd does or over its standard input and output.
    enum Subprocess: String, CaseIterable, Sendable {
      case brackets = "[ nbdkit ... ]"
      case socketActivation = "--socket-activation nbdkit ..."
      case command = "--command nbdkit -s ..."
      case qemuInBrackets = "[ qemu-nbd ... ]"

      func mode(image: String) -> [String] {
        switch self {
        case .brackets: ["[", "nbdkit", "file", image, "]"]
        case .socketActivation: ["--socket-activation", "nbdkit", "file", image]
        case .command: ["--command", "nbdkit", "-s", "file", image]
        case .qemuInBrackets: ["[", "qemu-nbd", "--format=raw", image, "]"]
        }
      }
    }

    @Test(arguments: Client.perEngine, Subprocess.allCases)
    func startsItsOwnServerAndLeavesNoneBehind(_ client: Client, _ mode: Subprocess) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        let image = try directory.sparseFile("image", size: mib)
        try await withMount(mode.mode(image: image), engine: client.engine, in: directory) { mount in
          try await mount.succeed(copyRange(0, mib, from: source, to: mount.file))
          let children = try mount.process.children()
          #expect(!children.isEmpty)
          #expect(try await mount.unmount() == .success)
          #expect(children.filter { kill($0, 0) == 0 } == [])
        }
        try await succeed(["cmp", source, image])
      }
    }

    @Test(arguments: Client.perEngine)
    func takesAConnectedDescriptor(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          guard case .unix(let path) = server.endpoint else { throw TestFailure("not a Unix socket") }
          let descriptor = try UnixSocket.connect(to: path)
          defer { close(descriptor) }
          try await withMount(
            ["--fd", "\(descriptor)"], engine: client.engine, in: directory, inheriting: [descriptor]
          ) { mount in
            try await mount.succeed(["cmp", image, mount.file])
          }
        }
      }
    }

    @Test(arguments: Client.all, Transport.allCases)
    func takesAnAddressInsteadOfAURI(_ client: Client, _ transport: Transport) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        try await withServer(.nbdkit(["file", image]), over: transport, in: directory) { server in
          let mode =
            switch server.endpoint {
            case .unix(let path): ["--unix", path]
            case .tcp(let port): ["--tcp", "127.0.0.1", "\(port)"]
            }
          let options = ["-C", "\(client.connections)"]
          try await withMount(mode, options: options, engine: client.engine, in: directory) { mount in
            try await mount.succeed(["cmp", image, mount.file])
          }
        }
      }
    }
  }
}
