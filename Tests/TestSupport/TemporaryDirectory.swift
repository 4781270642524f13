import Foundation
import Glibc

/// A directory of its own for one test: images, sockets, mount points. Short, because a Unix socket path has 107 bytes.
public struct TemporaryDirectory: Sendable {
  public let path: String

  public static func / (directory: TemporaryDirectory, name: String) -> String { "\(directory.path)/\(name)" }

  /// Makes a file of `size` zero bytes that occupies no space, and returns its path.
  public func sparseFile(_ name: String, size: UInt64) throws -> String {
    let path = self / name
    let descriptor = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw TestFailure.errno(path) }
    defer { close(descriptor) }
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw TestFailure.errno("truncate \(path)") }
    return path
  }

  /// Makes a subdirectory and returns its path.
  public func subdirectory(_ name: String) throws -> String {
    let path = self / name
    guard mkdir(path, 0o755) == 0 else { throw TestFailure.errno("mkdir \(path)") }
    return path
  }

  /// Where images go: `NBDMOUNT_TEST_DIR`, else memory where there is enough of it, else the system's choice.
  static let root: String = {
    if let chosen = ProcessInfo.processInfo.environment["NBDMOUNT_TEST_DIR"] { return chosen }
    var space = statvfs()
    let enough: UInt64 = 8 << 30
    if statvfs("/dev/shm", &space) == 0, UInt64(space.f_bavail) * UInt64(space.f_frsize) >= enough {
      return "/dev/shm"
    }
    return "/tmp"
  }()

  init() throws {
    var template = Array("\(Self.root)/nbdmount.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure.errno("mkdtemp in \(Self.root)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Some tests come in as another user.
    chmod(path, 0o755)
  }

  func remove() throws {
    // Deleting through a mount point would delete what is mounted there.
    let left = MountTable.current().filter { $0.mountpoint.hasPrefix(path + "/") }
    guard left.isEmpty else { throw TestFailure("still mounted: \(left.map(\.mountpoint))") }
    try FileManager.default.removeItem(atPath: path)
  }
}

/// Runs `body` with a fresh directory, and removes it with everything in it on every way out.
@discardableResult
public func withTemporaryDirectory<R>(_ body: (TemporaryDirectory) async throws -> R) async throws -> R {
  let directory = try TemporaryDirectory()
  let result: R
  do {
    result = try await body(directory)
  } catch {
    // The first failure is the one to report.
    try? directory.remove()
    throw error
  }
  try directory.remove()
  return result
}
