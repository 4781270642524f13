import Glibc
import NBDProtocol

/// `nbdmount`: reads the command line, and mounts.
@main
struct NBDMountCommand {
  static func main() {
    Helper.carryOut(CommandLine.arguments)
    // Both before any thread is made: threads inherit the signal mask, and the environment must not change under them.
    TerminationSignals.block()
    let readiness = Readiness()
    switch CommandLineOutcome(arguments: Array(CommandLine.arguments.dropFirst())) {
    case .show(let text):
      print(text)
      exit(0)
    case .refuse(let line):
      Diagnostics.error(line)
      exit(1)
    case .mount(let configuration):
      exit(mount(configuration, readiness))
    }
  }

  private static func mount(_ configuration: MountConfiguration, _ readiness: Readiness) -> Int32 {
    do {
      if configuration.runsInBackground, !readiness.isBackground {
        return try Background.launch(arguments: CommandLine.arguments, started: endTogether).exitStatus
      }
      Diagnostics.bootstrap(verbose: configuration.isVerbose)
      return try MountRunner(configuration: configuration).run(readiness)
    } catch {
      Diagnostics.error("\(error)")
      return 1
    }
  }

  /// Whoever interrupts the command that waits for a mount does not want it any more.
  private static func endTogether(with process: pid_t) throws(NBDError) {
    _ = try TerminationSignals { signal in
      guard signal != .user1 else { return }
      kill(process, SIGTERM)
      _exit(1)
    }
  }
}
