import Foundation
import TestSupport
import Testing

/// A program that has written `source` to the mounted file and keeps the file open: the kernel still has its pages.
///
/// In perl, because a shell closes copies of the descriptor, and with each of them the kernel writes back.
func withWriter<R>(
  of source: String, on mount: Mount, _ body: (ChildProcess) async throws -> R
) async throws -> R {
  let script = """
    open(F, "+<", $ARGV[0]) and open(S, "<", $ARGV[1]) or die;
    while (sysread(S, $data, 1 << 20)) { syswrite(F, $data) == length($data) or die }
    syswrite(STDOUT, "written\\n");
    sleep;
    """
  let words = ["perl", "-e", script]
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

/// It has ended like that, and nothing of it is left.
func expectEnded(
  _ mount: Mount, _ status: TestSupport.ExitStatus, in directory: TemporaryDirectory,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  #expect(mount.process.ended.value == status, "\(mount.process.stderr)", sourceLocation: sourceLocation)
  #expect(mount.entry == nil, "it is still mounted", sourceLocation: sourceLocation)
  #expect(try pidFiles(in: directory) == [], "the pid file is still there", sourceLocation: sourceLocation)
}
