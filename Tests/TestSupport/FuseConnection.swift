import Foundation
import Glibc

/// The kernel's control files of one FUSE mount.
public struct FuseConnection: Sendable {
  private let minor: Int

  public init(_ entry: MountTableEntry) { minor = entry.minor }

  /// Makes the kernel give up on the mount: every caller stuck in it gets an error.
  public func abort() throws {
    let directory = try openControl()
    defer { close(directory) }
    let descriptor = openat(directory, "abort", O_WRONLY | O_CLOEXEC)
    defer { close(descriptor) }
    guard write(descriptor, "1", 1) == 1 else { throw TestFailure.errno("abort FUSE connection \(minor)") }
  }

  /// A number that the kernel tells of the connection, such as `max_background`; once for each time that it is opened.
  public func value(of name: String) throws -> Int? {
    let directory = try openControl()
    defer { close(directory) }
    let descriptor = openat(directory, name, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw TestFailure.errno("\(name) of FUSE connection \(minor)") }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 32)
    let count = read(descriptor, &text, text.count)
    return Int(String(decoding: text.prefix(max(0, count)), as: UTF8.self).filter(\.isNumber))
  }

  /// Returns once the kernel has `count` requests that have not been answered, or more.
  public func waitUntilRequestsWait(count: Int = 1, within deadline: Duration = .seconds(10)) async throws {
    try await poll("\(count) requests that wait", within: deadline) { ((try? waiting()) ?? 0) >= count }
  }

  /// How many requests the kernel has that have not been answered.
  public func waiting() throws -> Int { try value(of: "waiting") ?? 0 }

  /// Opens the connection's directory on a control file system that is mounted for the moment: not every machine has one.
  private func openControl() throws -> Int32 {
    let root = "\(NSTemporaryDirectory())/nbdmount-fusectl.\(UInt64.random(in: 0 ... .max))"
    guard mkdir(root, 0o700) == 0 else { throw TestFailure.errno(root) }
    defer { rmdir(root) }
    guard mount("fusectl", root, "fusectl", 0, nil) == 0 else { throw TestFailure.errno("mount fusectl") }
    defer { umount2(root, Int32(MNT_DETACH)) }
    let directory = open("\(root)/\(minor)", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw TestFailure.errno("FUSE connection \(minor)") }
    return directory
  }
}
