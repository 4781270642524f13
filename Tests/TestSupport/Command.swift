/// What a finished command left behind.
public struct CommandOutput: Sendable, CustomStringConvertible {
  public let command: [String]
  public let status: ExitStatus
  public let stdout: String
  public let stderr: String
  public let duration: Duration

  public var succeeded: Bool { status == .success }

  public var description: String {
    "\(command.joined(separator: " ")): \(status)\n\(stdout)\(stderr)"
  }
}

/// Runs a command to its end; kills it and throws when that takes longer than `deadline`.
///
/// - Parameter unhang: called when the killed command still does not go away, to free it from the kernel: a file system
///   that does not answer holds its callers for ever.
@discardableResult
public func run(
  _ command: [String], environment: [String: String] = [:], within deadline: Duration = .seconds(30),
  unhang: (() -> Void)? = nil
) async throws -> CommandOutput {
  let clock = ContinuousClock()
  let start = clock.now
  let child = try ChildProcess(command, environment: environment)
  do {
    let status = try await child.exitStatus(within: deadline)
    return CommandOutput(
      command: command, status: status, stdout: child.stdout, stderr: child.stderr, duration: clock.now - start)
  } catch {
    if await !child.terminate(within: .seconds(2)) {
      unhang?()
      await child.terminate()
    }
    throw error
  }
}

/// Runs a command that has to succeed; throws its output otherwise.
@discardableResult
public func succeed(
  _ command: [String], environment: [String: String] = [:], within deadline: Duration = .seconds(30)
) async throws -> CommandOutput {
  let output = try await run(command, environment: environment, within: deadline)
  guard output.succeeded else { throw TestFailure("\(output)") }
  return output
}

/// Waits for something in another process that no event tells us of.
public func poll(_ what: String, within deadline: Duration, _ condition: () async throws -> Bool) async throws {
  let clock = ContinuousClock()
  let end = clock.now + deadline
  while try await !condition() {
    guard clock.now < end else { throw TestFailure("waited \(deadline) for \(what)") }
    try await Task.sleep(for: .milliseconds(5))
  }
}
