import Foundation
import Glibc

/// The kernel's control files of one FUSE mount.
public struct FuseConnection: Sendable {
  private let minor: Int

  public init(_ entry: MountTableEntry) { minor = entry.minor }

  /// Makes the kernel give up on the mount: every caller stuck in it gets an error.
  public func abort() throws {
    let descriptor = try open("abort", O_WRONLY)
    defer { close(descriptor) }
    guard write(descriptor, "1", 1) == 1 else { throw TestFailure.errno("abort FUSE connection \(minor)") }
  }

  /// Returns once the kernel has requests that have not been answered.
  public func waitUntilRequestsWait(within deadline: Duration = .seconds(10)) async throws {
    let descriptor = try open("waiting", O_RDONLY)
    defer { close(descriptor) }
    try await poll("a request that waits", within: deadline) {
      var digit: UInt8 = 0
      return pread(descriptor, &digit, 1, 0) == 1 && digit != UInt8(ascii: "0")
    }
  }

  /// Opens a control file on a mount of the control file system that nobody else sees: not every machine has one.
  private func open(_ name: String, _ flags: Int32) throws -> Int32 {
    let directory = "\(NSTemporaryDirectory())/nbdmount-fusectl.\(UInt64.random(in: 0 ... .max))"
    guard mkdir(directory, 0o700) == 0 else { throw TestFailure.errno(directory) }
    defer { rmdir(directory) }
    guard mount("fusectl", directory, "fusectl", 0, nil) == 0 else { throw TestFailure.errno("mount fusectl") }
    defer { umount2(directory, Int32(MNT_DETACH)) }
    let descriptor = Glibc.open("\(directory)/\(minor)/\(name)", flags | O_CLOEXEC)
    guard descriptor >= 0 else { throw TestFailure.errno("\(name) of FUSE connection \(minor)") }
    return descriptor
  }
}
