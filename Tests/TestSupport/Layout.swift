import Foundation

/// Where the programs under test and the servers are.
public enum Layout {
  public static let packageRoot: String = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// The program under test: `NBDMOUNT`, else the release build of this package.
  public static func nbdmount() throws -> String {
    let path = ProcessInfo.processInfo.environment["NBDMOUNT"] ?? "\(packageRoot)/.build/release/nbdmount"
    guard access(path, X_OK) == 0 else {
      throw TestFailure(
        "\(path) is missing. Build it with `swift build -c release --product nbdmount`, or set NBDMOUNT to it.")
    }
    return path
  }

  /// A server newer than the system's: `nbdkit-testing`, `qemu-nbd-testing`, `nbd-server-testing`.
  public static func peer(_ name: String) throws -> String {
    let directory = ProcessInfo.processInfo.environment["NBDMOUNT_PEERS"] ?? "\(packageRoot)/.peers"
    let path = "\(directory)/bin/\(name)"
    guard access(path, X_OK) == 0 else {
      throw TestFailure("\(path) is missing. Run Scripts/peers.sh, or set NBDMOUNT_PEERS to where it put the servers.")
    }
    return path
  }
}
