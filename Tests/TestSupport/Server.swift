import Foundation
import Glibc

/// A running NBD server.
public final class Server: Sendable {
  public let endpoint: Endpoint
  public let process: ChildProcess
  /// The process that serves: a daemon that left its parent, else the child itself.
  private let daemon: pid_t?

  init(endpoint: Endpoint, process: ChildProcess, daemon: pid_t? = nil) {
    self.endpoint = endpoint
    self.process = process
    self.daemon = daemon
  }

  public func uri(export: String = "") -> String { endpoint.uri(export: export) }

  public func signal(_ signal: Int32) {
    if let daemon { kill(daemon, signal) } else { process.signal(signal) }
  }

  /// SIGSTOP. When this returns, all threads of the server have stopped: the signal alone lets them go on for a moment.
  public func suspend() async throws {
    signal(SIGSTOP)
    let tasks = "/proc/\(daemon ?? process.pid)/task"
    try await poll("the server to stop", within: .seconds(20)) {
      // Threads come and go until they have stopped.
      guard let threads = try? FileManager.default.contentsOfDirectory(atPath: tasks) else { return false }
      return threads.allSatisfy { thread in
        // The state follows the name, which may have any character in it but ends with the last parenthesis.
        let status = try? String(contentsOfFile: "\(tasks)/\(thread)/stat", encoding: .utf8)
        return status?.split(separator: ")").last?.hasPrefix(" T") ?? false
      }
    }
  }

  /// How many sockets the server has open now: those it listens on, and one for each client.
  public func socketCount() throws -> Int {
    let directory = "/proc/\(daemon ?? process.pid)/fd"
    return try FileManager.default.contentsOfDirectory(atPath: directory).count { descriptor in
      // One that was closed since the directory was read is none.
      let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\(descriptor)")
      return target?.hasPrefix("socket:") ?? false
    }
  }

  /// Kills the server as a crash would.
  public func crash() async throws {
    signal(SIGKILL)
    _ = try await process.exitStatus(within: .seconds(5))
  }

  func stop() async {
    if let daemon { kill(daemon, SIGKILL) }
    await process.terminate()
  }
}

/// What to start as a server; ``withServer(_:over:in:_:)`` starts it.
public struct ServerKind: Sendable, CustomStringConvertible {
  public let description: String
  let start: @Sendable (Endpoint, TemporaryDirectory) async throws -> Server

  /// nbdkit in the foreground with the given filters, plugin and parameters.
  ///
  /// - Parameter program: what to run instead of `nbdkit`.
  public static func nbdkit(_ arguments: [String], program: String = "nbdkit") -> ServerKind {
    ServerKind(description: "nbdkit \(arguments.joined(separator: " "))") { endpoint, directory in
      let pidFile = uniquePath(directory, "pid")
      let address =
        switch endpoint {
        case .unix(let path): ["-U", path]
        case .tcp(let port): ["-i", "127.0.0.1", "-p", "\(port)"]
        }
      let process = try ChildProcess([program, "-f", "-P", pidFile] + address + arguments)
      return try await ready(Server(endpoint: endpoint, process: process), pidFile: pidFile)
    }
  }

  /// qemu-nbd for any number of clients, one after another and at once.
  public static func qemuNBD(_ arguments: [String], program: String = "qemu-nbd") -> ServerKind {
    ServerKind(description: "qemu-nbd \(arguments.joined(separator: " "))") { endpoint, directory in
      let pidFile = uniquePath(directory, "pid")
      let address =
        switch endpoint {
        case .unix(let path): ["--socket", path]
        case .tcp(let port): ["--bind", "127.0.0.1", "--port", "\(port)"]
        }
      let process = try ChildProcess(
        [program, "--persistent", "--shared=0", "--pid-file", pidFile] + address + arguments)
      return try await ready(Server(endpoint: endpoint, process: process), pidFile: pidFile)
    }
  }

  /// nbd-server serving `image` as the export `disk`, with the given lines in the export's section and in the general one.
  public static func nbdServer(
    image: String, options: [String] = ["flush = true", "fua = true", "trim = true"], generic: [String] = [],
    program: String = "nbd-server"
  ) -> ServerKind {
    ServerKind(description: "nbd-server") { endpoint, directory in
      let pidFile = uniquePath(directory, "pid")
      let address =
        switch endpoint {
        case .unix(let path): ["unixsock = \(path)"]
        case .tcp(let port): ["listenaddr = 127.0.0.1", "port = \(port)"]
        }
      let lines = ["[generic]"] + address + generic + ["[disk]", "exportname = \(image)"] + options
      let configuration = uniquePath(directory, "conf")
      try (lines.joined(separator: "\n") + "\n").write(toFile: configuration, atomically: false, encoding: .utf8)
      // It forks for each client only as a daemon: the child ends at once and leaves a daemon behind.
      let process = try ChildProcess([program, "-C", configuration, "-p", pidFile])
      let status = try await process.exitStatus(within: .seconds(10))
      guard status == .success else { throw TestFailure("nbd-server: \(status)\n\(process.stderr)") }
      // The pid file comes before the socket: once the socket is there, so is the pid file.
      let isListening = (try? await endpoint.waitForListener(within: .seconds(10))) != nil
      let text = try? String(contentsOfFile: pidFile, encoding: .utf8)
      guard let daemon = text.flatMap({ pid_t($0.filter(\.isNumber)) }) else {
        throw TestFailure("nbd-server left no pid file\n\(process.stderr)")
      }
      guard isListening else {
        kill(daemon, SIGKILL)
        throw TestFailure("nbd-server does not listen\n\(process.stderr)")
      }
      return Server(endpoint: endpoint, process: process, daemon: daemon)
    }
  }

  static func makeEndpoint(_ transport: Transport, _ directory: TemporaryDirectory) throws -> Endpoint {
    switch transport {
    case .unix: .unix(path: uniquePath(directory, "sock"))
    case .tcp: .tcp(port: try Endpoint.freePort())
    }
  }

  private static func uniquePath(_ directory: TemporaryDirectory, _ suffix: String) -> String {
    directory / "\(UInt32.random(in: 0 ... .max)).\(suffix)"
  }

  private static func ready(_ server: Server, pidFile: String) async throws -> Server {
    do {
      try await FileArrival.wait(for: pidFile, by: server.process, within: .seconds(20))
      return server
    } catch {
      await server.stop()
      throw error
    }
  }
}

/// Runs `body` with a server that accepts connections, and stops it on every way out.
///
/// - Parameter endpoint: where another one was, that is gone; nil for a new place.
@discardableResult
public func withServer<R>(
  _ kind: ServerKind, over transport: Transport = .unix, at endpoint: Endpoint? = nil, in directory: TemporaryDirectory,
  _ body: (Server) async throws -> R
) async throws -> R {
  if case .unix(let path) = endpoint { unlink(path) }
  let server = try await kind.start(try endpoint ?? ServerKind.makeEndpoint(transport, directory), directory)
  do {
    let result = try await body(server)
    await server.stop()
    return result
  } catch {
    await server.stop()
    throw error
  }
}
