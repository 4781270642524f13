import TestSupport
import Testing

@testable import NBDMount

/// Random writes and flushes that overlap in every order, against a server that forgets, without a further word, what a failed
/// flush did not write.
@Suite struct WriteTrackerModelTests {
  @Test func noFlushIsCalledDurableThatIsNot() {
    var durable = 0
    for seed in 0..<400 as Range<UInt64> {
      var model = Model(seed: seed, failures: [0.02, 0.1, 0.3][Int(seed % 3)])
      for _ in 0..<150 { model.step() }
      model.finish()
      durable += model.durable
    }
    #expect(durable > 1000, "it says so often enough for that to mean something")
  }

  @Test func withoutAFailureEveryFlushIsDurable() {
    for seed in 0..<50 as Range<UInt64> {
      var model = Model(seed: seed, failures: 0)
      for _ in 0..<150 { model.step() }
      model.finish()
      #expect(model.refused == 0, "seed \(seed)")
    }
  }
}

/// A server with a volatile cache, the operations under way, and the tracker that is to know what became of them.
///
/// Each operation is submitted, carried out by the server, and noted by the tracker, three moments with others in between. A
/// write with FUA is carried out and noted at once, since a failure counts from then.
private struct Model {
  private static let size: UInt64 = 24

  private struct Cell {
    /// The write, by the order in which the server carried them out, that is in the cache and on the disk; 0 for none.
    var cached = 0
    var onDisk = 0
    /// The server knows that the two differ.
    var isDirty = false
  }

  private enum Command {
    case write(Range<UInt64>, WriteTracker.Epoch)
    case flush(WriteTracker.Flush, answered: [Int])
  }

  private struct Running {
    var command: Command
    /// The number of the write, or of no meaning; nil before it was carried out.
    var result: (number: Int, succeeded: Bool)?
  }

  private let seed: UInt64
  private let failures: Double
  private var generator: SeededGenerator
  private let tracker = WriteTracker()
  private var cells = Array(repeating: Cell(), count: Int(Model.size))
  /// The last write of each cell that was answered, by the order of being carried out.
  private var answered = Array(repeating: 0, count: Int(Model.size))
  private var lastWrite = 0
  private var running: [Running] = []
  private(set) var durable = 0
  private(set) var refused = 0

  init(seed: UInt64, failures: Double) {
    self.seed = seed
    self.failures = failures
    generator = SeededGenerator(seed)
  }

  mutating func step() {
    switch Int.random(in: 0..<12, using: &generator) {
    case 0...2: running.append(Running(command: .write(randomRange(), tracker.epoch)))
    case 3: if tracker.needsFlush { submitFlush() }
    case 4: writeDurably()
    case 5...7: carryOut(running.indices.filter { running[$0].result == nil }.randomElement(using: &generator))
    default: note(running.indices.filter { running[$0].result != nil }.randomElement(using: &generator))
    }
  }

  /// Ends what is under way, writes everything again, and expects that to mend all.
  mutating func finish() {
    drain()
    for cell in (0..<Self.size).shuffled(using: &generator) {
      running.append(Running(command: .write(cell..<cell + 1, tracker.epoch)))
      drain()
    }
    let before = durable
    running.append(Running(command: .flush(tracker.beginFlush(), answered: answered)))
    carryOut(0, succeeds: true)
    note(0)
    #expect(durable == before + 1 && !tracker.needsFlush, "seed \(seed): written again and flushed")
    #expect(cells.allSatisfy { $0.onDisk == $0.cached }, "seed \(seed)")
  }

  private mutating func drain() {
    while let index = running.indices.first {
      if running[index].result == nil { carryOut(index) }
      note(index)
    }
  }

  private mutating func randomRange() -> Range<UInt64> {
    let length = UInt64.random(in: 1...6, using: &generator)
    let start = UInt64.random(in: 0...(Self.size - length), using: &generator)
    return start..<start + length
  }

  private mutating func submitFlush() {
    running.append(Running(command: .flush(tracker.beginFlush(), answered: answered)))
  }

  // MARK: The server

  private mutating func carryOut(_ index: Int?, succeeds: Bool? = nil) {
    guard let index else { return }
    let succeeds = succeeds ?? (Double.random(in: 0..<1, using: &generator) >= failures)
    switch running[index].command {
    case .write(let range, _):
      write(range)
      running[index].result = (lastWrite, true)
    case .flush:
      flush(succeeds)
      running[index].result = (0, succeeds)
    }
  }

  private mutating func write(_ range: Range<UInt64>) {
    lastWrite += 1
    for cell in range {
      cells[Int(cell)].cached = lastWrite
      cells[Int(cell)].isDirty = true
    }
  }

  private mutating func flush(_ succeeds: Bool) {
    for index in cells.indices where cells[index].isDirty {
      // One that fails has written some, and keeps others for the next one.
      switch succeeds ? 0 : Int.random(in: 0..<4, using: &generator) {
      case 0: cells[index].onDisk = cells[index].cached
      case 1: continue
      default: break
      }
      cells[index].isDirty = false
    }
  }

  private mutating func writeDurably() {
    let range = randomRange()
    let epoch = tracker.epoch
    write(range)
    if Double.random(in: 0..<1, using: &generator) >= failures {
      for cell in range {
        cells[Int(cell)].onDisk = lastWrite
        cells[Int(cell)].isDirty = false
        answered[Int(cell)] = lastWrite
      }
      tracker.wroteDurably(range, submitted: epoch)
    } else {
      flush(false)
      tracker.failedDurably(range)
    }
  }

  // MARK: What is noted

  private mutating func note(_ index: Int?) {
    guard let index, let result = running[index].result else { return }
    switch running.remove(at: index).command {
    case .write(let range, let epoch):
      tracker.wrote(range, submitted: epoch)
      for cell in range { answered[Int(cell)] = max(answered[Int(cell)], result.number) }
    case .flush(let flush, let answered):
      switch tracker.endFlush(flush, result.succeeded ? .succeeded : .failed) {
      case .undecided(let again): running.append(Running(command: .flush(again, answered: answered)))
      case .lost: refused += 1
      case .durable:
        durable += 1
        #expect(zip(cells, answered).allSatisfy { $0.onDisk >= $1 }, "seed \(seed): called durable and is not")
      }
    }
  }
}
