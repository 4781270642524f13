import Glibc

/// Runs the simulation for many seeds, or for one, of which everything is printed.
///
///     Simulate SEEDS FIRST WORKERS [RULE]    RULE is left out: see SimulationPlan.Omission
///     Simulate --seed N [RULE]
@main
enum Simulate {
  static func main() async {
    let arguments = CommandLine.arguments.dropFirst()
    let numbers = arguments.compactMap { Int($0) }
    let omission = arguments.last.flatMap { SimulationPlan.Omission(rawValue: $0) }
    if arguments.first == "--seed", let seed = numbers.first { one(seed, omission) }
    guard numbers.count == 3 else { fatalError("Simulate SEEDS FIRST WORKERS, or --seed N") }
    await many(numbers[0], from: numbers[1], workers: max(numbers[2], 1), omission)
  }

  private static func one(_ seed: Int, _ omission: SimulationPlan.Omission?) -> Never {
    let result = Simulation.run(seed: UInt64(seed), without: omission, isTraced: true)
    for line in result.trace { print(line) }
    print("seed \(seed): \(result.failures.first ?? "nothing wrong")")
    exit(result.failures.isEmpty ? 0 : 1)
  }

  private static func many(_ count: Int, from first: Int, workers: Int, _ omission: SimulationPlan.Omission?) async {
    let totals = await withTaskGroup(of: SimulationTotal.self) { group in
      for worker in 0..<workers {
        group.addTask {
          SimulationTotal(of: stride(from: first + worker, to: first + count, by: workers), without: omission) {
            print("seed \($0): \($1)")
          }
        }
      }
      return await group.reduce(into: [SimulationTotal]()) { $0.append($1) }
    }
    guard var total = totals.first else { return }
    for other in totals.dropFirst() { total += other }
    print(total)
    exit(total.wrong == 0 ? 0 : 1)
  }
}
