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

  /// Where images go: `NBDMOUNT_TEST_DIR`, else memory where there is plenty of it, else the system's choice.
  private static let root: Result<String, TestFailure> = Result { () throws(TestFailure) in
    if let chosen = ProcessInfo.processInfo.environment["NBDMOUNT_TEST_DIR"] {
      try checkRoom(in: chosen)
      return chosen
    }
    let memory = "/dev/shm"
    if let room = room(in: memory), room >= 8 << 30 { return memory }
    let usual = FileManager.default.temporaryDirectory.path
    try checkRoom(in: usual)
    return usual
  }

  /// The largest test has a source and an image of 1 GiB each.
  private static func checkRoom(in path: String) throws(TestFailure) {
    let needed: UInt64 = 3 << 30
    guard let room = room(in: path) else { throw TestFailure.errno(path) }
    guard room >= needed else {
      throw TestFailure("the tests need \(needed >> 20) MiB in \(path), which has \(room >> 20): set NBDMOUNT_TEST_DIR")
    }
  }

  /// Bytes that are free there; nil where that cannot be told (`errno`).
  private static func room(in path: String) -> UInt64? {
    var space = statvfs()
    return statvfs(path, &space) == 0 ? UInt64(space.f_bavail) * UInt64(space.f_frsize) : nil
  }

  init() throws {
    let root = try Self.root.get()
    var template = Array("\(root)/nbdmount.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure.errno("mkdtemp in \(root)") }
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
