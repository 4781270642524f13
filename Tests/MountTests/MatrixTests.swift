import Foundation
import TestSupport
import Testing

/// A server with writable storage behind it.
enum Backend: String, CaseIterable {
  case nbdkitFile = "nbdkit file"
  case nbdkitMemory = "nbdkit memory"
  case qemuRaw = "qemu-nbd raw"
  case nbdServer = "nbd-server"

  var export: String { self == .nbdServer ? "disk" : "" }

  func server(size: UInt64, in directory: TemporaryDirectory) throws -> ServerKind {
    if self == .nbdkitMemory { return .nbdkit(["memory", "\(size)"]) }
    let image = try directory.sparseFile("disk.img", size: size)
    return switch self {
    case .qemuRaw: .qemuNBD(["--format=raw", "--discard=unmap", image])
    case .nbdServer: .nbdServer(image: image)
    default: .nbdkit(["file", image])
    }
  }
}

/// One way of getting at one server.
struct MatrixCase: CustomStringConvertible, Sendable {
  let backend: Backend
  let transport: Transport
  let connections: Int
  let engine: Engine

  var description: String { "\(backend.rawValue), \(transport), \(connections) connections, \(engine)" }

  static let all: [MatrixCase] = Engine.all.flatMap { engine in
    Backend.allCases.flatMap { backend in
      Transport.allCases.flatMap { transport in
        [1, 4].map { MatrixCase(backend: backend, transport: transport, connections: $0, engine: engine) }
      }
    }
  }

  /// Starts the server and hands its URI to `body`, which mounts it as often as it likes.
  func withServerOf(
    size: UInt64, in directory: TemporaryDirectory, _ body: (Server) async throws -> Void
  ) async throws {
    try await withServer(backend.server(size: size, in: directory), over: transport, in: directory, body)
  }

  func mount(
    _ server: Server, in directory: TemporaryDirectory, _ body: (Mount) async throws -> Void
  ) async throws {
    try await withMount(
      [server.uri(export: backend.export)], options: ["-C", "\(connections)"], engine: engine, in: directory, body)
  }
}

/// The file that the copy tests copy: made once for the suite, as big as `NBDMOUNT_TEST_SIZE` says (bytes; 1 GiB).
struct CopySource: SuiteTrait, TestScoping {
  @TaskLocal static var path = ""
  static let size = ProcessInfo.processInfo.environment["NBDMOUNT_TEST_SIZE"].flatMap { UInt64($0) } ?? gib

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try await withTemporaryDirectory { directory in
      let source = try await Pattern.file("source", size: Self.size, in: directory)
      try await Self.$path.withValue(source) { try await function() }
    }
  }
}

extension MountTests {
  @Suite(CopySource()) struct MatrixTests {
    @Test(arguments: MatrixCase.all)
    func copyInAndOutComparesEqual(_ way: MatrixCase) async throws {
      try await withTemporaryDirectory { directory in
        try await way.withServerOf(size: CopySource.size, in: directory) { server in
          try await way.mount(server, in: directory) { mount in
            try await mount.succeed(
              ["dd", "if=\(CopySource.path)", "of=\(mount.file)", "bs=1M", "conv=notrunc,fsync"], within: .seconds(120))
          }
          // A new mount has an empty page cache: what compares equal now has come from the server.
          try await way.mount(server, in: directory) { mount in
            try await mount.succeed(["cmp", CopySource.path, mount.file], within: .seconds(120))
          }
        }
      }
    }

    @Test(arguments: MatrixCase.all)
    func fioVerifiesDeepDirectWrites(_ way: MatrixCase) async throws {
      try await withTemporaryDirectory { directory in
        try await way.withServerOf(size: 64 * mib, in: directory) { server in
          try await way.mount(server, in: directory) { mount in
            try await mount.succeed(fioVerify(mount.file), within: .seconds(120))
          }
        }
      }
    }

    @Test(arguments: MatrixCase.all)
    func ext4OnALoopDeviceIsClean(_ way: MatrixCase) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("files", size: 32 * mib, seed: 1, in: directory)
        try await way.withServerOf(size: 128 * mib, in: directory) { server in
          try await way.mount(server, in: directory) { mount in
            try await withExt4(on: mount, in: directory) { root in
              try await mount.succeed(["split", "-a", "4", "-b", "100k", source, "\(root)/part."])
            }
            try await withExt4(on: mount, formatting: false, in: directory) { root in
              try await mount.succeed(["sh", "-c", "cat \"$1\"/part.* | cmp - \"$2\"", "sh", root, source])
            }
          }
          try await way.mount(server, in: directory) { mount in
            try await mount.succeed(["fsck.ext4", "-f", "-n", mount.file])
          }
        }
      }
    }
  }
}

/// Runs `body` with an ext4 on a loop device over the mounted file; both are gone afterwards.
func withExt4(
  on mount: Mount, formatting: Bool = true, in directory: TemporaryDirectory, _ body: (String) async throws -> Void
) async throws {
  let device = try await mount.succeed(["losetup", "--find", "--show", mount.file]).stdout
    .trimmingCharacters(in: .newlines)
  let root = try directory.subdirectory("ext4-\(UInt32.random(in: 0 ... .max))")
  do {
    if formatting { try await mount.succeed(["mkfs.ext4", "-q", "-F", device]) }
    try await mount.succeed(["mount", "-t", "ext4", device, root])
    try await body(root)
    try await mount.succeed(["umount", root])
  } catch {
    _ = try? await mount.run(["umount", "-l", root], within: .seconds(10))
    _ = try? await mount.run(["losetup", "--detach", device], within: .seconds(10))
    throw error
  }
  try await mount.succeed(["losetup", "--detach", device])
}

/// Random direct writes of random sizes, 32 at a time, over 64 MiB, each read back and checked.
func fioVerify(_ file: String) -> [String] {
  [
    "fio", "--name=verify", "--filename=\(file)", "--size=64m", "--rw=randwrite", "--bsrange=4k-1m",
    "--ioengine=libaio", "--direct=1", "--iodepth=32", "--verify=crc32c", "--verify_fatal=1",
    "--verify_state_save=0", "--output=/dev/null",
  ]
}
