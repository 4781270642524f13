/// What many simulations came to.
struct SimulationTotal: CustomStringConvertible {
  private(set) var runs = 0
  private(set) var operations = 0
  private(set) var crashes = 0
  private(set) var losses = 0
  private(set) var replays = 0
  private(set) var wrong = 0

  /// Runs those of `seeds`, and calls `isWrong` with each that fails, and what is wrong about it.
  init(of seeds: StrideTo<Int>, without omission: SimulationPlan.Omission? = nil, isWrong: (Int, String) -> Void) {
    for seed in seeds {
      let result = Simulation.run(seed: UInt64(seed), without: omission)
      runs += 1
      operations += result.operations
      crashes += result.crashes
      losses += result.losses
      replays += result.replays
      guard let failure = result.failures.first else { continue }
      wrong += 1
      isWrong(seed, failure)
    }
  }

  static func += (left: inout SimulationTotal, right: SimulationTotal) {
    left.runs += right.runs
    left.operations += right.operations
    left.crashes += right.crashes
    left.losses += right.losses
    left.replays += right.replays
    left.wrong += right.wrong
  }

  var description: String {
    """
    \(runs) seeds, \(operations) operations, \(crashes) crashes, \(losses) lost connections, \(replays) replays of the log, \
    \(wrong) wrong
    """
  }
}
