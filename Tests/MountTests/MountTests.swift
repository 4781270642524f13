import TestSupport
import Testing

/// Tests of the `nbdmount` executable: real servers, real FUSE mounts. They need root and /dev/fuse.
///
/// Everything is nested in this one suite, because a test at a time is what two processors, one /dev/fuse and timed
/// deadlines bear.
@Suite(.serialized) enum MountTests {}

let kib: UInt64 = 1 << 10
let mib: UInt64 = 1 << 20
let gib: UInt64 = 1 << 30

/// Starts the server and mounts its export over it; both are gone afterwards.
@discardableResult
func withMountedServer<R>(
  _ kind: ServerKind, over transport: Transport = .unix, export: String = "", connections: Int = 1,
  options: [String] = [], engine: Engine, in directory: TemporaryDirectory, _ body: (Mount, Server) async throws -> R
) async throws -> R {
  try await withServer(kind, over: transport, in: directory) { server in
    try await withMount(
      [server.uri(export: export)], options: ["-C", "\(connections)"] + options, engine: engine, in: directory
    ) { mount in
      try await body(mount, server)
    }
  }
}

/// Runs xfs_io's commands, one after another, on one descriptor of `file`: pread, pwrite, mmap, fpunch and so on.
///
/// - Parameter flags: how the file is opened: `-r` for reading, `-d` direct, `-s` synchronous.
func xfsIO(_ flags: [String] = [], _ commands: String..., on file: String) -> [String] {
  ["xfs_io"] + flags + commands.flatMap { ["-c", $0] } + [file]
}
