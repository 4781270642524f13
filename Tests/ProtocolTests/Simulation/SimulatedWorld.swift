import TestSupport

@testable import NBDProtocol

/// What everybody in a simulation shares: the time, chance, what is to happen later, and what has happened.
final class SimulatedWorld {
  private struct Event {
    var time: UInt64
    var number: UInt64
    var action: () -> Void

    func isBefore(_ other: Event) -> Bool { (time, number) < (other.time, other.number) }
  }

  let clock = SettableClock()
  var random: SeededGenerator
  /// What has happened, for a person; nil where nobody reads it.
  private(set) var trace: [String]?
  /// All that has happened, as one number: the same for the same seed.
  private(set) var digest: UInt64 = 0xcbf2_9ce4_8422_2325
  /// What was found to be wrong.
  private(set) var failures: [String] = []
  private var count: UInt64 = 0
  /// Grows when something has happened that another may have to look at: who has seen all of it need not look again.
  private(set) var changes: UInt64 = 1
  /// A binary heap.
  private var events: [Event] = []

  init(seed: UInt64, isTraced: Bool) {
    random = SeededGenerator(seed)
    trace = isTraced ? [] : nil
  }

  /// Nanoseconds.
  var now: UInt64 { clock.now }

  /// A number that is higher each time: the order of what happens at one moment.
  func tick() -> UInt64 {
    count += 1
    return count
  }

  func changed() { changes += 1 }

  func note(_ kind: StaticString, _ numbers: [Int] = [], _ text: @autoclosure () -> String = "") {
    changed()
    digest = (digest ^ UInt64(kind.utf8CodeUnitCount)) &* 0x100_0000_01b3
    digest = (digest ^ now) &* 0x100_0000_01b3
    for number in numbers { digest = (digest ^ UInt64(truncatingIfNeeded: number)) &* 0x100_0000_01b3 }
    guard trace != nil else { return }
    let time = "\(now / 1_000_000_000).\(String(now % 1_000_000_000 / 1000 + 1_000_000).dropFirst())"
    trace?.append("\(time) \(kind)\(numbers.map { " \($0)" }.joined())  \(text())")
  }

  func fail(_ text: String) {
    failures.append(text)
    note("WRONG", [], text)
  }

  // MARK: Chance

  func chance(_ percent: Int) -> Bool { percent > 0 && Int.random(in: 0..<100, using: &random) < percent }

  func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

  /// Nanoseconds.
  func milliseconds(_ range: ClosedRange<UInt64>) -> UInt64 {
    UInt64.random(in: (range.lowerBound * 1_000_000)...(range.upperBound * 1_000_000), using: &random)
  }

  // MARK: What is to happen

  func after(_ delay: UInt64, _ action: @escaping () -> Void) { at(now + delay, action) }

  func at(_ time: UInt64, _ action: @escaping () -> Void) {
    events.append(Event(time: max(time, now), number: tick(), action: action))
    var index = events.count - 1
    while index > 0, events[index].isBefore(events[(index - 1) / 2]) {
      events.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  /// Goes on to the next moment at which something is to happen, and has it happen. False where nothing is.
  func advance() -> Bool {
    guard let first = takeFirst() else { return false }
    clock.now = first.time
    first.action()
    while let next = events.first, next.time == clock.now { takeFirst()?.action() }
    return true
  }

  private func takeFirst() -> Event? {
    guard let first = events.first, let last = events.popLast() else { return nil }
    guard !events.isEmpty else { return first }
    events[0] = last
    var index = 0
    while true {
      let children = (2 * index + 1)..<min(2 * index + 3, max(events.count, 2 * index + 1))
      guard let least = children.min(by: { events[$0].isBefore(events[$1]) }), events[least].isBefore(events[index]) else { break }
      events.swapAt(least, index)
      index = least
    }
    return first
  }
}
