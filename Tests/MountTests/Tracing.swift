import Glibc
import TestSupport

/// Runs `body` while strace(1) traces all threads of `mount` as `options` say, and makes its system calls fail where they
/// say so; which is counted from here on, in each thread.
///
/// - Parameter log: where strace writes what it sees.
func withTrace(
  of mount: Mount, _ options: [String], to log: String, _ body: () async throws -> Void
) async throws {
  let tracer = try ChildProcess(["strace", "-f", "-p", "\(mount.process.pid)", "-o", log] + options)
  do {
    try await poll("strace to attach", within: .seconds(20)) { tracer.stderr.contains("attached") }
    try await body()
  } catch {
    await end(tracer)
    throw error
  }
  await end(tracer)
}

/// strace lets go of what it traces when it is interrupted; killed, it would take that with it.
private func end(_ tracer: ChildProcess) async {
  tracer.signal(SIGINT)
  if await tracer.ended.value(within: .seconds(10)) == nil { await tracer.terminate() }
}
