import Foundation

/// The folder Fixtures of the checkout.
enum Fixtures {
  static let folder = URL(filePath: #filePath).appending(path: "../../../../Fixtures").standardized

  /// The text files of one of its folders in the order of their names, which are without their extension.
  static func texts(in name: String) -> [(name: String, text: String)] {
    let files = (try? FileManager.default.contentsOfDirectory(at: folder.appending(path: name), includingPropertiesForKeys: nil)) ?? []
    return files.filter { $0.pathExtension == "txt" }.sorted { $0.path < $1.path }.compactMap { file in
      guard let text = try? String(contentsOf: file, encoding: .utf8) else { return nil }
      return (file.deletingPathExtension().lastPathComponent, text)
    }
  }
}
