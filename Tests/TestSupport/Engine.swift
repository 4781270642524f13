import Foundation

/// Who waits for the replies: `nbdmount --engine`. Every mount test runs once per engine.
public enum Engine: String, CaseIterable, Sendable, CustomStringConvertible {
  case threads
  case reactor

  /// The engines that the tests cover: all, or the one that `NBDMOUNT_ENGINE` names.
  public static let all: [Engine] = {
    guard let name = ProcessInfo.processInfo.environment["NBDMOUNT_ENGINE"] else { return allCases }
    guard let engine = Engine(rawValue: name) else { preconditionFailure("NBDMOUNT_ENGINE: there is no engine \(name)") }
    return [engine]
  }()

  public var description: String { rawValue }
}
