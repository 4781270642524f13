import Foundation
import Glibc

/// A running `nbdmount`.
public final class Mount: Sendable {
  /// The disk as a file.
  public let file: String
  /// What is in the mount table: a directory, or ``file`` itself where a regular file is mounted over.
  public let mountpoint: String
  public let process: ChildProcess

  /// Where the disk shall appear.
  public enum Place: Sendable {
    /// In this existing directory, as `nbd`.
    case directory(String)
    /// In this existing directory, under this name.
    case named(String, in: String)
    /// Over this existing regular file.
    case over(String)

    var mountpoint: String {
      switch self {
      case .directory(let path), .named(_, let path), .over(let path): path
      }
    }

    var argument: String {
      switch self {
      case .directory(let path), .over(let path): path
      case .named(let name, let path): "\(path)/\(name)"
      }
    }

    var file: String {
      switch self {
      case .directory(let path): "\(path)/nbd"
      case .named, .over: argument
      }
    }
  }

  private init(place: Place, process: ChildProcess) {
    file = place.file
    mountpoint = place.mountpoint
    self.process = process
  }

  /// Starts `nbdmount options place mode` and returns when it says through its pid file that it is ready.
  static func start(
    _ mode: [String], options: [String], engine: Engine, at place: Place, in directory: TemporaryDirectory,
    launcher: [String], inheriting: [Int32]
  ) async throws -> Mount {
    let pidFile = directory / "\(UInt32.random(in: 0 ... .max)).mount-pid"
    let program = launcher + [try Layout.nbdmount()]
    let process = try ChildProcess(
      program + ["-P", pidFile, "--engine", engine.rawValue] + options + [place.argument] + mode,
      inheriting: inheriting)
    let mount = Mount(place: place, process: process)
    do {
      try await FileArrival.wait(for: pidFile, by: process, within: .seconds(20))
      return mount
    } catch {
      await mount.tearDown()
      throw error
    }
  }

  /// Its line in the mount table, while it is mounted.
  public var entry: MountTableEntry? { MountTable.entry(at: mountpoint) }

  /// Unmounts as a user does, and returns how `nbdmount` ended.
  @discardableResult
  public func unmount(within deadline: Duration = .seconds(60)) async throws -> ExitStatus {
    try await succeed(["fusermount3", "-u", mountpoint], within: deadline)
    return try await process.exitStatus(within: deadline)
  }

  /// Sends `nbdmount` a signal, and returns how it ended.
  public func end(_ signal: Int32, within deadline: Duration = .seconds(60)) async throws -> ExitStatus {
    process.signal(signal)
    return try await process.exitStatus(within: deadline)
  }

  /// Returns once the kernel has `count` requests that `nbdmount` has not answered, or more.
  public func waitUntilRequestsWait(count: Int = 1) async throws {
    guard let entry else { throw TestFailure("not mounted: \(mountpoint)") }
    try await FuseConnection(entry).waitUntilRequestsWait(count: count)
  }

  /// Runs a command on the mounted file. One that hangs is freed by aborting the file system, and the test fails.
  @discardableResult
  public func run(
    _ command: [String], within deadline: Duration = .seconds(60)
  ) async throws -> CommandOutput {
    let entry = self.entry
    return try await TestSupport.run(command, within: deadline, unhang: { if let entry { try? FuseConnection(entry).abort() } })
  }

  /// Runs a command on the mounted file that has to succeed.
  @discardableResult
  public func succeed(_ command: [String], within deadline: Duration = .seconds(60)) async throws -> CommandOutput {
    let output = try await run(command, within: deadline)
    guard output.succeeded else { throw TestFailure("\(output)\nnbdmount: \(process.stderr)") }
    return output
  }

  /// Gets rid of it whatever its state: unmount, then detach, then abort and kill.
  func tearDown() async {
    if let entry {
      _ = try? await TestSupport.run(["fusermount3", "-u", mountpoint], within: .seconds(5))
      if self.entry != nil {
        _ = try? await TestSupport.run(["umount", "-l", mountpoint], within: .seconds(5))
        try? FuseConnection(entry).abort()
      }
    }
    if await process.ended.value(within: .seconds(1)) == nil { await process.terminate() }
  }
}

/// Mounts, runs `body`, and unmounts. Unless `body` unmounted, or ended `nbdmount`, itself, the unmount at the end has to
/// succeed with exit status 0.
///
/// - Parameters:
///   - mode: the URI or another MODE of the command line.
///   - place: by default a new directory.
///   - launcher: a command that runs `nbdmount`, such as `setpriv ...`.
///   - inheriting: descriptors for `nbdmount`.
@discardableResult
public func withMount<R>(
  _ mode: [String], options: [String] = [], engine: Engine, at place: Mount.Place? = nil,
  in directory: TemporaryDirectory, launcher: [String] = [], inheriting: [Int32] = [],
  _ body: (Mount) async throws -> R
) async throws -> R {
  let place = try place ?? .directory(directory.subdirectory("mnt\(UInt32.random(in: 0 ... .max))"))
  let mount = try await Mount.start(
    mode, options: options, engine: engine, at: place, in: directory, launcher: launcher, inheriting: inheriting)
  do {
    let result = try await body(mount)
    if mount.process.ended.value == nil {
      let status = try await mount.unmount()
      guard status == .success else { throw TestFailure("nbdmount ended with \(status)\n\(mount.process.stderr)") }
    }
    await mount.tearDown()
    return result
  } catch {
    await mount.tearDown()
    throw error
  }
}
