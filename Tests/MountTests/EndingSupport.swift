import Foundation
import TestSupport
import Testing

/// A program that has written `source` to the mounted file, and keeps the file open: its pages may be dirty.
func withWriter<R>(
  of source: String, on mount: Mount, _ body: (ChildProcess) async throws -> R
) async throws -> R {
  let words = ["sh", "-c", "exec 3<>\"$1\"; dd if=\"$2\" bs=1M status=none >&3; echo written; exec sleep 1000", "sh"]
  return try await withChildProcess(words + [mount.file, source]) { writer in
    try await poll("the writer to have written", within: .seconds(60)) { writer.stdout.contains("written") }
    return try await body(writer)
  }
}

/// The pid files that mounts have left, or have while they are there.
func pidFiles(in directory: TemporaryDirectory) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: directory.path).filter { $0.hasSuffix(".mount-pid") }
}

/// nbdkit whose cache keeps writes to itself until a flush: what is in `image` after a crash was flushed.
func cachingServer(over image: String) -> ServerKind { .nbdkit(["--filter=cache", "file", image, "cache=writeback"]) }

/// What a signal's end says where there was somebody to be cut off, or nothing.
func expectEnded(
  _ mount: Mount, _ status: TestSupport.ExitStatus, in directory: TemporaryDirectory,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  #expect(mount.process.ended.value == status, "\(mount.process.stderr)", sourceLocation: sourceLocation)
  #expect(mount.entry == nil, "it is still mounted", sourceLocation: sourceLocation)
  #expect(try pidFiles(in: directory) == [], "the pid file is still there", sourceLocation: sourceLocation)
}
