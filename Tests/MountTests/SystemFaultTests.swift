import Foundation
import TestSupport
import Testing

extension MountTests {
  /// The kernel runs short of something, and the mount goes on: see also ``DeviceFaultTests``.
  @Suite struct SystemFaultTests {
    /// Memory for a message comes back: a connection is no less good for it.
    @Test(arguments: Client.all, ["sendmsg:error=ENOBUFS:when=2+3", "recvmsg:error=ENOMEM:when=2+3"])
    func aConnectionOutlivesAShortageOfMemory(_ client: Client, _ fault: String) async throws {
      try await withTemporaryDirectory { directory in
        let source = try await Pattern.file("source", size: mib, in: directory)
        let log = directory / "strace"
        try await withMountedServer(.nbdkit(["memory", "1M"]), by: client, in: directory) { mount in
          try await withTrace(of: mount, ["-e", "trace=sendmsg,recvmsg", "-e", "inject=\(fault)"], to: log) {
            try await mount.succeed([
              "dd", "if=\(source)", "of=\(mount.file)", "bs=64k", "oflag=direct", "conv=notrunc,fsync",
            ])
            try await mount.succeed([
              "sh", "-c", "dd if=\"$1\" bs=64k iflag=direct | cmp - \"$2\"", "sh", mount.file, source,
            ])
          }
          #expect(mount.process.stderr.isEmpty)
        }
        #expect(try String(contentsOfFile: log, encoding: .utf8).contains("INJECTED"))
      }
    }

    /// A limit on processes and threads was reached: ending takes neither.
    @Test(arguments: Client.perEngine, [false, true])
    func noNewThreadIsNeededToEnd(_ client: Client, isSignalled: Bool) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: mib)
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withMountedServer(.nbdkit(["file", image]), by: client, in: directory) { mount in
          let fault = "inject=clone,clone3,fork,vfork:error=EAGAIN"
          try await withTrace(of: mount, ["-e", fault], to: directory / "strace") {
            try await mount.succeed(["dd", "if=\(source)", "of=\(mount.file)", "bs=64k", "conv=notrunc"])
            let status = try await isSignalled ? mount.end(SIGTERM) : mount.unmount()
            #expect(status == .success, "\(mount.process.stderr)")
            #expect(mount.entry == nil)
          }
        }
        try await succeed(["cmp", source, image])
      }
    }
  }
}
