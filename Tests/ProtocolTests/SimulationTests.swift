import TestSupport
import Testing

@testable import NBDProtocol

/// Requests on a server that fails, in virtual time: see ``Simulation``.
///
/// `NBD_SIMULATION_SEEDS` asks for more seeds, `NBD_SIMULATION_FIRST` for the first of them. Scripts/simulate.sh is faster.
@Suite struct SimulationTests {
  private static let seeds = TestSetting.number("NBD_SIMULATION_SEEDS") ?? 2000
  private static let first = TestSetting.number("NBD_SIMULATION_FIRST") ?? 0
  private static let shards = 4

  @Test(arguments: 0..<shards) func nothingIsLostRevertedOrStuck(shard: Int) {
    var told = 0
    let total = SimulationTotal(of: stride(from: Self.first + shard, to: Self.first + Self.seeds, by: Self.shards)) { seed, failure in
      told += 1
      if told <= 10 { Issue.record("seed \(seed): \(failure) (Scripts/simulate.sh --seed \(seed))") }
    }
    print("simulation: \(total)")
    // The seeds are of some use.
    if Self.seeds >= 400 { #expect(total.crashes > 0 && total.losses > 0 && total.replays > 0) }
  }

  @Test(arguments: 0..<20) func aSeedIsTheSameEachTime(seed: UInt64) {
    let one = Simulation.run(seed: seed)
    let other = Simulation.run(seed: seed, isTraced: true)
    #expect(one.digest == other.digest)
    #expect(one.failures == other.failures)
  }

  @Test(arguments: SimulationPlan.Omission.allCases) func aRuleThatIsLeftOutIsFound(omission: SimulationPlan.Omission) {
    let found = (0..<1000).first { !Simulation.run(seed: UInt64($0), without: omission).failures.isEmpty }
    #expect(found != nil, "leaving out the \(omission) is not found within 1000 seeds")
    if let found { print("simulation: without the \(omission), seed \(found) fails") }
  }
}
