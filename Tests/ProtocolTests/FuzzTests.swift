import TestSupport
import Testing

@testable import NBDProtocol

/// The fuzz targets without the fuzzer: over what they begin with, every input that was ever found to break something
/// (Fixtures/corpus), and random mutations of both.
///
/// Each mutation follows from its seed, which a failure names. `NBD_FUZZ_CASES` asks for more of them, and `NBD_FUZZ_SEED` for a
/// first one.
@Suite struct FuzzTests {
  private static let cases = TestSetting.number("NBD_FUZZ_CASES") ?? 300
  private static let first = TestSetting.number("NBD_FUZZ_SEED") ?? 0

  @Test(arguments: FuzzTarget.allCases) func theSeedsAreThereAndBreakNothing(target: FuzzTarget) {
    let seeds = target.seeds
    #expect(seeds.count >= 8)
    for seed in seeds {
      FaultContext.$name.withValue("\(target) of \(seed.name): ") { target.run(seed.bytes) }
    }
  }

  /// TLS begins in the middle of what these say, and the negotiation goes on inside it; after inserted bytes it does not.
  @Test func theHandshakeEntersTLS() {
    let seeds = FuzzSeed.corpus(of: .handshake)
    let entering = Set(seeds.filter { fuzzHandshake(FuzzInput($0.bytes)) }.map(\.name))
    #expect(entering == ["tls-required", "tls-allowed", "tls-made-words"], "\(seeds.map(\.name))")
  }

  @Test(arguments: FuzzTarget.allCases) func mutationsBreakNothing(target: FuzzTarget) {
    let seeds = target.seeds.map(\.bytes)
    for number in Self.first..<(Self.first + Self.cases) {
      var generator = SeededGenerator(UInt64(number))
      let bytes = Self.mutation(of: seeds, &generator)
      FaultContext.$name.withValue("\(target), seed \(number): ") { target.run(bytes) }
    }
  }

  /// One of `seeds`, cut, spliced with another, and some of its bytes changed.
  private static func mutation(of seeds: [[UInt8]], _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes = seeds.randomElement(using: &generator) ?? []
    if Int.random(in: 0..<4, using: &generator) == 0, let other = seeds.randomElement(using: &generator) {
      let here = Int.random(in: 0...bytes.count, using: &generator)
      let there = Int.random(in: 0...other.count, using: &generator)
      bytes = Array(bytes[..<here] + other[there...])
    }
    for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
      let position = Int.random(in: 0..<bytes.count, using: &generator)
      switch Int.random(in: 0..<6, using: &generator) {
      case 0: bytes.remove(at: position)
      case 1: bytes.insert(contentsOf: zeros(Int.random(in: 1...40, using: &generator)), at: position)
      case 2: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 3: bytes[position] = [0, 0x7f, 0x80, 0xff].randomElement(using: &generator) ?? 0
      case 4: bytes.removeLast(bytes.count - position)
      default: bytes[position] = .random(in: 0...255, using: &generator)
      }
    }
    return bytes
  }
}
