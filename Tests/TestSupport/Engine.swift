/// Who waits for the replies: `nbdmount --engine`. Every mount test runs once per engine.
public enum Engine: String, CaseIterable, Sendable, CustomStringConvertible {
  case threads
  case reactor

  /// The engines that the tests cover.
  public static let all = Engine.allCases

  public var description: String { rawValue }
}
