import Foundation
import Glibc
import TestSupport
import Testing

extension MountTests {
  /// Which error an application sees for which error of the server.
  @Suite struct ServerErrorTests {
    @Test(
      arguments: Client.all,
      [
        ("EPERM", "Operation not permitted"), ("EIO", "Input/output error"), ("ENOMEM", "Cannot allocate memory"),
        ("EINVAL", "Invalid argument"), ("ENOSPC", "No space left on device"),
      ])
    func errorOfAReadIsTheServers(_ client: Client, _ error: (name: String, text: String)) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit([
          "--filter=error", "memory", "1M", "error-pread=\(error.name)", "error-pread-rate=100%",
        ])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let output = try await mount.run(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"])
          #expect(output.stderr.contains(error.text), "\(output)")
        }
      }
    }

    /// The server's own words are for whoever looks after it: on standard error, once for each error.
    @Test(arguments: Client.all) func theServersWordsAreOnStandardError(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: 1 << 20, in: directory)
        let server = ServerKind.qemuNBD([
          "--image-opts",
          "driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename=\(image),"
            + "file.inject-error.0.event=none,file.inject-error.0.iotype=write,file.inject-error.0.errno=28",
        ])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let output = try await mount.run([
            "dd", "if=/dev/zero", "of=\(mount.file)", "bs=4k", "count=1", "conv=notrunc", "oflag=direct",
          ])
          #expect(output.stderr.contains("No space left on device"), "\(output)")
          let line = "warning: the server answered NBD_CMD_WRITE of 4096 bytes at 0 with NBD_ENOSPC: writing to file failed"
          try await poll("the warning", within: .seconds(20)) { mount.process.stderr.contains(line) }
        }
      }
    }

    /// Whatever number of reads fails, standard error stays readable.
    @Test(arguments: Client.perEngine) func manyErrorsAreAFewLines(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let server = ServerKind.nbdkit(["--filter=error", "memory", "8M", "error-pread=EIO", "error-pread-rate=100%"])
        try await withMountedServer(server, by: client, in: directory) { mount in
          let reads = ["if=\(mount.file)", "of=/dev/null", "bs=4k", "count=200", "iflag=direct", "conv=noerror"]
          let output = try await mount.run(["dd"] + reads)
          #expect(output.stderr.contains("Input/output error"), "\(output)")
          let line = "the server answered NBD_CMD_READ"
          try await poll("a warning", within: .seconds(20)) { mount.process.stderr.contains(line) }
          // 20 in 10 s, and it takes less than 20 s.
          #expect(mount.process.stderr.components(separatedBy: line).count <= 60)
        }
      }
    }

    /// The image has become shorter behind the server's back: what is not there is an error, and never zeros.
    @Test(arguments: Client.perEngine) func whatTheServerHasLostIsAnError(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: 1 << 20, in: directory)
        try await withMountedServer(.nbdkit(["file", image]), by: client, in: directory) { mount in
          func read(_ block: Int) async throws -> CommandOutput {
            try await mount.run(["dd", "if=\(mount.file)", "of=/dev/null", "bs=4k", "skip=\(block)", "count=1", "iflag=direct"])
          }
          let before = try await read(200)
          #expect(before.succeeded, "\(before)")
          #expect(truncate(image, 512 << 10) == 0)
          let after = try await read(200)
          #expect(after.stderr.contains("Input/output error"), "\(after)")
          let other = try await read(100)
          #expect(other.succeeded, "what is there is read: \(other)")
        }
      }
    }
  }
}
