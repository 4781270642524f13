import ArgumentParser

/// What a command line comes to. Pure: nothing is printed or looked at.
enum CommandLineOutcome: Hashable, Sendable {
  case mount(MountConfiguration)
  /// `nbdmount conformance ...`
  case conformance(ConformanceConfiguration)
  /// Text for standard output; exit status 0.
  case show(String)
  /// One line for standard error; exit status 1, which is nbdfuse's.
  case refuse(String)
  /// The same of `nbdmount conformance`, whose exit status 1 means something else: exit status 2.
  case refuseConformance(String)

  /// - Parameter arguments: without the program's name.
  init(arguments: [String]) {
    if let rest = ConformanceCommand.arguments(of: arguments) {
      self = ConformanceCommand.outcome(rest)
      return
    }
    do {
      let command = try MountCommand.parse(OptionSpelling.normalized(arguments))
      // Help is not an option of ours, so the parser hands it to the captured words.
      if command.words.first == "--help" {
        self = .show(MountCommand.helpMessage(columns: 80))
      } else if command.fuseHelp {
        self = .show(FuseOptions.helpText)
      } else if command.longOptions || command.shortOptions {
        self = .show(OptionSpelling.names(dashes: command.longOptions ? 2 : 1))
      } else if command.version {
        self = .show("nbdmount \(MountCommand.version)")
      } else {
        self = .mount(try command.makeConfiguration())
      }
    } catch let error as UsageError {
      self = .refuse(error.description)
    } catch {
      // Requests such as a completion script arrive as errors whose exit status is success.
      if MountCommand.exitCode(for: error) == .success {
        self = .show(MountCommand.fullMessage(for: error))
      } else {
        self = .refuse(Self.oneLine(MountCommand.message(for: error)))
      }
    }
  }

  static func oneLine(_ message: String) -> String {
    message.split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}
