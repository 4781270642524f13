import Glibc
import NBDProtocol

/// `nbdmount`: reads the command line, and mounts.
@main
struct NBDMountCommand {
  static func main() {
    do throws(NBDError) { try Surroundings.settle() } catch {
      Diagnostics.error("\(error)")
      exit(1)
    }
    Helper.carryOut(CommandLine.arguments)
    // Before any thread is made, since threads inherit the mask.
    TerminationSignals.block()
    switch CommandLineOutcome(arguments: Array(CommandLine.arguments.dropFirst())) {
    case .show(let text):
      print(text)
      exit(0)
    case .refuse(let line):
      Diagnostics.error(line)
      exit(1)
    case .refuseConformance(let line):
      Diagnostics.error(line)
      exit(2)
    case .conformance(let configuration):
      TerminationSignals.unblock()
      exit(ConformanceRun(configuration: configuration).run())
    case .mount(let configuration):
      let status = mount(configuration)
      Diagnostics.flush()
      exit(status)
    }
  }

  private static func mount(_ given: MountConfiguration) -> Int32 {
    do {
      // Before any thread is made, like all that changes the environment.
      let pipe = ReadyPipe.takeFromEnvironment()
      let (isBackground, moved) =
        switch pipe {
        case .some(let pipe): (true, pipe.server)
        case .none: (false, nil)
        }
      var configuration = given
      if case .fd(let number) = given.server, number < StandardStreams.end {
        configuration.server = .fd(try moved ?? StandardStreams.vacate(number))
      }
      if configuration.runsInBackground, !isBackground {
        return try Background.launch(
          arguments: CommandLine.arguments, server: configuration.server.descriptor, started: endTogether
        ).exitStatus
      }
      let readiness = Readiness(pipe)
      Diagnostics.bootstrap(verbose: configuration.isVerbose)
      let drop: PrivilegeDrop? = if let user = configuration.servingUser { try PrivilegeDrop(to: user) } else { nil }
      try MemoryPressure.prepare(locksMemory: configuration.locksMemory, dropsPrivileges: drop != nil)
      Diagnostics.startThread()
      return try MountRunner(configuration: configuration, drop: drop).run(readiness)
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
