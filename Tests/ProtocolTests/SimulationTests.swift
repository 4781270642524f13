import Glibc
import TestSupport
import Testing

@testable import NBDProtocol

/// Requests on a server that fails, in virtual time: see ``Simulation``.
///
/// `NBD_SIMULATION_SEEDS` asks for more seeds, `NBD_SIMULATION_FIRST` for the first of them. Scripts/simulate.sh is faster.
@Suite(.serialized) struct SimulationTests {
  private static let seeds = TestSetting.number("NBD_SIMULATION_SEEDS") ?? 2000
  private static let first = TestSetting.number("NBD_SIMULATION_FIRST") ?? 0
  private static let shards = 4

  /// For minutes, and so on a thread of its own that gives way: tests with clocks run beside it.
  private func aside<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async throws -> Value {
    try await onThread {
      setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
      return work()
    }
  }

  @Test(arguments: 0..<shards) func nothingIsLostRevertedOrStuck(shard: Int) async throws {
    let (total, failures) = try await aside {
      var failures: [String] = []
      let seeds = stride(from: Self.first + shard, to: Self.first + Self.seeds, by: Self.shards)
      let total = SimulationTotal(of: seeds) { seed, failure in
        failures.append("seed \(seed): \(failure) (Scripts/simulate.sh --seed \(seed))")
      }
      return (total, failures)
    }
    for failure in failures.prefix(10) { Issue.record("\(failure)") }
    print("simulation: \(total)")
    // The seeds are of some use.
    if Self.seeds >= 400 { #expect(total.crashes > 0 && total.losses > 0 && total.replays > 0) }
  }

  @Test(arguments: 0..<20) func aSeedIsTheSameEachTime(seed: UInt64) async throws {
    let (one, other) = try await aside { (Simulation.run(seed: seed), Simulation.run(seed: seed, isTraced: true)) }
    #expect(one.digest == other.digest)
    #expect(one.failures == other.failures)
  }

  @Test(arguments: SimulationPlan.Omission.allCases) func aRuleThatIsLeftOutIsFound(omission: SimulationPlan.Omission) async throws {
    let found = try await aside { (0..<1000).first { !Simulation.run(seed: UInt64($0), without: omission).failures.isEmpty } }
    #expect(found != nil, "leaving out the \(omission) is not found within 1000 seeds")
    if let found { print("simulation: without the \(omission), seed \(found) fails") }
  }
}
