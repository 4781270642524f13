import Foundation
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

/// How `nbdmount` is run.
struct Client: CustomStringConvertible, Sendable {
  let engine: Engine
  /// `-C`: what it asks for; the server may allow fewer.
  let connections: Int

  var description: String { "\(engine), \(connections) connections" }

  /// Every engine, alone and with several connections.
  static let all: [Client] = Engine.all.flatMap { engine in [1, 4].map { Client(engine: engine, connections: $0) } }

  /// Every engine once, for what does not depend on connections.
  static let perEngine: [Client] = Engine.all.map { Client(engine: $0, connections: 4) }

  @discardableResult
  func mount<R>(
    _ server: Server, export: String = "", options: [String] = [], in directory: TemporaryDirectory,
    _ body: (Mount) async throws -> R
  ) async throws -> R {
    try await withMount(
      [server.uri(export: export)], options: ["-C", "\(connections)"] + options, engine: engine, in: directory, body)
  }
}

/// Starts the server and mounts its export; both are gone afterwards.
@discardableResult
func withMountedServer<R>(
  _ kind: ServerKind, export: String = "", options: [String] = [], by client: Client,
  in directory: TemporaryDirectory, _ body: (Mount) async throws -> R
) async throws -> R {
  try await withServer(kind, in: directory) { server in
    try await client.mount(server, export: export, options: options, in: directory, body)
  }
}

/// Runs xfs_io's commands, one after another, on one descriptor of `file`: pread, pwrite, mmap, fpunch and so on.
///
/// - Parameter flags: how the file is opened: `-r` for reading, `-d` direct, `-s` synchronous.
func xfsIO(_ commands: String..., flags: [String] = [], on file: String) -> [String] {
  ["xfs_io"] + flags + commands.flatMap { ["-c", $0] } + [file]
}

/// dd of `length` bytes at `offset` of `source` to the same place of `target`, as one write, then fsync.
func copyRange(_ offset: UInt64, _ length: UInt64, from source: String, to target: String, flags: String = "")
  -> [String]
{
  [
    "dd", "if=\(source)", "of=\(target)", "bs=\(length)", "count=1", "skip=\(offset)", "seek=\(offset)",
    "iflag=skip_bytes,fullblock", "oflag=seek_bytes\(flags.isEmpty ? "" : "," + flags)", "conv=notrunc,fsync",
  ]
}

/// A field of stat(1), such as `%s`, of a file.
func statField(_ format: String, of path: String, _ mount: Mount, followingSystem: Bool = false) async throws -> String {
  let flags = followingSystem ? ["-f"] : []
  return try await mount.succeed(["stat"] + flags + ["-c", format, path]).stdout
    .trimmingCharacters(in: .whitespacesAndNewlines)
}
