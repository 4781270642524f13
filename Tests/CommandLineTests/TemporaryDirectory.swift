import Glibc
import SystemPackage

/// A directory of its own, removed with its files at the end. One level deep.
final class TemporaryDirectory: Sendable {
  /// Absolute, free of symbolic links.
  let path: String

  init() throws {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/nbdmount-test.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
    let made = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let resolved = realpath(made, nil) else { throw Errno(rawValue: errno) }
    defer { free(resolved) }
    path = String(cString: resolved)
  }

  func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

  @discardableResult func write(_ text: String, to name: String) throws -> String {
    let file = try FileDescriptor.open(
      FilePath(self(name)), .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
    try file.closeAfter { _ = try file.writeAll(text.utf8) }
    return self(name)
  }

  /// Names in it, sorted.
  var names: [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var result: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { result.append(name) }
    }
    return result.sorted()
  }

  deinit {
    for name in names where unlink(self(name)) != 0 { rmdir(self(name)) }
    rmdir(path)
  }
}
