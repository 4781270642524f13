import Foundation
import TestSupport
import Testing

extension MountTests {
  /// "Scripts that call nbdfuse can change the name and go on": the same script, in the forms of nbdfuse's manual, with either.
  @Suite struct NbdfuseFormsTests {
    enum Program: String, CaseIterable, Sendable {
      case nbdmount
      case nbdfuse

      func path() throws -> String { self == .nbdmount ? try Layout.nbdmount() : rawValue }
    }

    /// The words after the program: PID is the pid file, DIR the mountpoint, SOCKET a server's, IMAGE what it serves.
    static let forms = [
      "-P PID DIR nbd+unix:///?socket=SOCKET",
      "--pidfile PID -C 1 DIR/disk.img --unix SOCKET",
      "--pid-file=PID -r DIR nbd+unix:///?socket=SOCKET",
      "-rPPID DIR --unix SOCKET",
      "--conn 2 --pidf PID -o fsname=x --read-o DIR --unix SOCKET",
      "-P PID -s DIR [ nbdkit file IMAGE ]",
      "-P PID DIR/nbd --socket-activation qemu-nbd -f raw IMAGE",
      "-PPID DIR --command nbdkit -s file IMAGE",
    ]

    @Test(arguments: Program.allCases, forms)
    func theSameWordsDoTheSame(_ program: Program, _ form: String) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        let source = try await Pattern.file("source", size: mib, seed: 1, in: directory)
        let (mountpoint, pidFile) = (try directory.subdirectory("mnt"), directory / "pid")
        try await withServer(.nbdkit(["file", image]), in: directory) { server in
          guard case .unix(let socket) = server.endpoint else { throw TestFailure("not a Unix socket") }
          let places = ["PID": pidFile, "DIR": mountpoint, "SOCKET": socket, "IMAGE": image]
          let words = form.split(separator: " ").map { word in
            places.reduce(String(word)) { $0.replacingOccurrences(of: $1.key, with: $1.value) }
          }
          let child = try ChildProcess([try program.path()] + words)
          do {
            try await FileArrival.wait(for: pidFile, by: child, within: .seconds(20))
            let written = try String(contentsOfFile: pidFile, encoding: .utf8)
            #expect(written.trimmingCharacters(in: .newlines) == "\(child.pid)")
            let file = mountpoint + (form.contains("disk.img") ? "/disk.img" : "/nbd")
            try await succeed(["cmp", image, file])
            let copy = try await run(["dd", "if=\(source)", "of=\(file)", "bs=64k", "conv=notrunc,fsync", "status=none"])
            let isReadOnly = form.contains("-r")
            #expect(copy.succeeded != isReadOnly, "\(copy)")
            try await succeed(["cmp", isReadOnly ? image : source, file])
            try await succeed(["fusermount3", "-u", mountpoint])
            #expect(try await child.exitStatus(within: .seconds(20)) == .success)
            try await succeed(["cmp", isReadOnly ? image : source, image])
          } catch {
            _ = try? await run(["umount", "-l", mountpoint])
            await child.terminate()
            throw error
          }
        }
      }
    }
  }
}
