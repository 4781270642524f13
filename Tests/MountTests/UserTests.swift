import Foundation
import TestSupport
import Testing

extension MountTests {
  /// Who may mount, and who may look.
  @Suite struct UserTests {
    static let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

    @Test(arguments: Client.perEngine)
    func otherUsersAreLockedOut(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(.nbdkit(["pattern", "1M"]), by: client, in: directory) { mount in
          for command in [["cat", mount.file], ["ls", mount.mountpoint], ["stat", mount.file]] {
            let output = try await mount.run(Self.nobody + command)
            #expect(output.stderr.contains("Permission denied"), "\(output)")
          }
        }
      }
    }

    /// The kernel then checks the modes, which let others read and write.
    @Test(arguments: Client.perEngine)
    func allowOtherLetsOtherUsersIn(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        try await withMountedServer(
          .nbdkit(["memory", "1M"]), options: ["-o", "allow_other"], by: client, in: directory
        ) { mount in
          #expect(mount.entry?.options.contains("default_permissions") == true)
          let mode = try await statField("%a", of: mount.file, mount)
          #expect(mode == "666")
          try await mount.succeed(Self.nobody + copyRange(0, 4096, from: "/dev/zero", to: mount.file))
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func ownerAndModeAreTheOptions(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let options = ["-o", "allow_other,uid=65534,gid=65533,umask=0137"]
        try await withMountedServer(.nbdkit(["memory", "1M"]), options: options, by: client, in: directory) { mount in
          let owner = try await statField("%u %g %a", of: mount.file, mount)
          #expect(owner == "65534 65533 640")
          try await mount.succeed(Self.nobody + ["dd", "if=\(mount.file)", "of=/dev/null"])
        }
      }
    }

    @Test(arguments: Client.perEngine)
    func ordinaryUserMountsAndUnmounts(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: mib, in: directory)
        try await succeed(["chmod", "0666", image])
        try await withUsersMount(["[", "nbdkit", "file", image, "]"], by: client, in: directory) { mount in
          try await succeed(mount.asUser + ["cmp", image, mount.file])
          try await succeed(mount.asUser + copyRange(5, 70_000, from: "/dev/zero", to: mount.file))
          let root = try await run(mount.inside + ["cat", mount.file])
          #expect(root.stderr.contains("Permission denied"), "root is another user")
          try await succeed(mount.asUser + ["fusermount3", "-u", mount.mountpoint])
          #expect(try await mount.process.exitStatus(within: .seconds(20)) == .success)
        }
        let zeros = try await run(["cmp", "--ignore-initial=5:0", "--bytes=70000", image, "/dev/zero"])
        #expect(zeros.succeeded)
      }
    }

    /// The kernel has taken what was written when the file was closed; the server is still to be asked to keep it, even if
    /// the file cannot be opened any more, or for writing only.
    @Test(arguments: Client.perEngine, ["0000", "0200"])
    func whatAnUnreadableFileHoldsIsFlushed(_ client: Client, _ mode: String) async throws {
      try await withTemporaryDirectory { directory in
        let image = try directory.sparseFile("image", size: mib)
        let source = try await Pattern.file("source", size: mib, in: directory)
        try await withServer(cachingServer(over: image), in: directory) { server in
          guard case .unix(let socket) = server.endpoint else { throw TestFailure("not a Unix socket") }
          try await succeed(["chmod", "0777", socket])
          try await withUsersMount([server.uri()], options: ["-o", "default_permissions"], by: client, in: directory) {
            mount in
            try await succeed(mount.asUser + ["dd", "if=\(source)", "of=\(mount.file)", "bs=1M", "conv=notrunc"])
            try await succeed(mount.asUser + ["chmod", mode, mount.file])
            mount.process.signal(SIGTERM)
            let status = try await mount.process.exitStatus(within: .seconds(20))
            #expect(status == .success, "\(mount.process.stderr)")
            #expect(mount.process.stderr.contains("cannot write back") == (mode == "0000"), "\(mount.process.stderr)")
          }
          try await server.crash()
        }
        try await succeed(["cmp", source, image])
      }
    }

    /// Where the read-ahead cannot be raised, as an ordinary user cannot, who reads in sequence and wants read-ahead
    /// finds more in the page cache than the kernel itself would have read; and who reads here and there does not.
    @Test(arguments: Client.perEngine)
    func sequentialReadersAreReadAheadOf(_ client: Client) async throws {
      try await withTemporaryDirectory { directory in
        let image = try await Pattern.file("image", size: 64 * mib, in: directory)
        let mountpoint = try directory.subdirectory("mnt")
        let pidFile = directory / "pid"
        let child = try ChildProcess(
          ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /sys && exec \"$@\"", "sh"]
            + [try Layout.nbdmount(), "--engine", client.engine.rawValue, "--read-ahead", "8M", "-P", pidFile, mountpoint]
            + ["[", "nbdkit", "file", image, "]"])
        do {
          try await FileArrival.wait(for: pidFile, by: child, within: .seconds(20))
          let inside = ["nsenter", "--target", "\(child.pid)", "--mount"]
          let file = mountpoint + "/nbd"
          for block in [500, 300, 900, 700] {
            try await succeed(inside + ["dd", "if=\(file)", "of=/dev/null", "bs=64k", "count=1", "skip=\(block)"])
          }
          #expect(try child.children().count == 1, "the server, and nobody who reads ahead")
          try await succeed(inside + ["dd", "if=\(file)", "of=/dev/null", "bs=64k", "count=64"])
          try await poll("more to be cached than was read", within: .seconds(20)) {
            let cached = try? await run(inside + ["fincore", "--bytes", "--noheadings", "--output", "RES", file])
            return (cached.flatMap { Int($0.stdout.trimmingCharacters(in: .whitespacesAndNewlines)) } ?? 0) > 6 * mib
          }
          try await succeed(inside + ["cmp", image, file])
          try await succeed(inside + ["fusermount3", "-u", mountpoint])
          #expect(try await child.exitStatus(within: .seconds(20)) == .success)
        } catch {
          await child.terminate()
          throw error
        }
      }
    }
  }
}

/// A mount that an ordinary user has made, in a mount namespace of its own.
private struct UsersMount: Sendable {
  let process: ChildProcess
  let mountpoint: String
  var file: String { mountpoint + "/nbd" }

  /// What runs a command in the namespace, as root and as the user.
  var inside: [String] { ["nsenter", "--target", "\(process.pid)", "--mount"] }
  var asUser: [String] { inside + MountTests.UserTests.nobody }
}

/// Mounts as a user who is not root, with a /dev/fuse that is open to everybody, as distributions have it.
private func withUsersMount(
  _ mode: [String], options: [String] = [], by client: Client, in directory: TemporaryDirectory,
  _ body: (UsersMount) async throws -> Void
) async throws {
  // The program's own directory may be closed to others.
  let program = directory / "nbdmount"
  try await succeed(["install", "-m", "0755", try Layout.nbdmount(), program])
  let home = try directory.subdirectory("home")
  let mountpoint = home + "/mnt"
  let pidFile = home + "/pid"
  try await succeed(["chown", "65534:65534", home])
  try await succeed(MountTests.UserTests.nobody + ["mkdir", mountpoint])

  let device = "mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse"
  let command = MountTests.UserTests.nobody + [program, "--engine", client.engine.rawValue, "-P", pidFile]
  // The mount goes with its namespace, if it is still there at the end.
  try await withChildProcess(
    ["unshare", "--mount", "sh", "-c", "\(device) && exec \"$@\"", "sh"] + command + options + [mountpoint] + mode
  ) { process in
    try await FileArrival.wait(for: pidFile, by: process, within: .seconds(20))
    try await body(UsersMount(process: process, mountpoint: mountpoint))
  }
}
