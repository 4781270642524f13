import CLinux
import Glibc
import TestSupport
import Testing

@testable import NBDMount
@testable import NBDProtocol

/// Random requests on the file, through the machine, to a server that answers in random order and fails now and then; compared
/// with an array.
@Suite struct FileSystemModelTests {
  struct Shape: CustomTestStringConvertible {
    var block: UInt32
    var without: TransmissionFlags = []
    var failures = 0.0
    var testDescription: String { "block \(block), without \(without.rawValue), failures \(failures)" }
  }

  static let shapes = [
    Shape(block: 1), Shape(block: 512, without: [.sendWriteZeroes, .sendFastZero]),
    Shape(block: 1, failures: 0.03), Shape(block: 1, without: [.sendFUA], failures: 0.03),
    Shape(block: 512, failures: 0.03), Shape(block: 4096, without: [.sendFUA, .sendWriteZeroes, .sendFastZero], failures: 0.03),
  ]

  @Test(arguments: shapes) func randomRequestsEqualTheSameOnAnArray(shape: Shape) {
    for seed in 0..<4 as Range<UInt64> {
      var session = FileSession(shape, seed)
      for _ in 0..<150 { session.step() }
      session.finish()
      #expect(session.durable > 0, "seed \(seed)")
      if shape.failures == 0 { #expect(session.failed == 0, "seed \(seed)") }
    }
  }
}

/// A file, the machine of one connection, the server behind it, and what both should come to.
private struct FileSession: ~Copyable {
  private static let size = 16 * 1024

  private struct Pending {
    var request: FileRequest
    var buffer: UnsafeMutableRawPointer?
    /// What a read should give.
    var expected: [UInt8]?
    /// For an fsync: the write that each byte was answered to be of when it came.
    var answered: [Int] = []
  }

  private let seed: UInt64
  /// A write with FUA may be several commands, of which one fails long before that is noted: see ``WriteTracker``.
  private let mayFailInParts: Bool
  private let file: ExportFile
  private var machine: TransmissionMachine
  private var disk: ModelDisk
  private var generator: SeededGenerator
  private var wire: [UInt8] = []
  private var requests: [ModelDisk.Request] = []
  private var pending: [UInt: Pending] = [:]
  private var lastToken: UInt = 0
  private var reference = [UInt8](repeating: 0, count: size)
  private var answered = [Int](repeating: 0, count: size)
  private(set) var durable = 0
  private(set) var failed = 0

  init(_ shape: FileSystemModelTests.Shape, _ seed: UInt64) {
    let export = Export.test(
      size: UInt64(Self.size), flags: .all.subtracting(shape.without), minimum: shape.block, contexts: [], replies: .simple)
    self.seed = seed
    mayFailInParts = shape.block > 1 && shape.failures > 0 && !shape.without.contains(.sendFUA)
    file = ExportFile(export)
    machine = TransmissionMachine(export)
    disk = ModelDisk(size: Self.size, seed: seed, failures: shape.failures)
    generator = SeededGenerator(seed)
  }

  deinit { for entry in pending.values { entry.buffer?.deallocate() } }

  mutating func step() {
    if Int.random(in: 0..<3, using: &generator) > 0 { ask() } else { answerOne() }
  }

  /// Ends what is under way; then writes everything again, which mends whatever was lost.
  mutating func finish() {
    disk.failures = 0
    while answerOne() {}
    let isIdle = pending.isEmpty && machine.isIdle
    #expect(isIdle, "seed \(seed)")
    write(0..<Self.size, flags: O_WRONLY)
    while answerOne() {}
    let before = durable
    sync()
    while answerOne() {}
    #expect(durable == before + 1 && !file.tracker.needsFlush, "seed \(seed): written again and flushed")
    #expect(disk.durable == reference && disk.contents == reference, "seed \(seed)")
  }

  // MARK: Requests

  private mutating func ask() {
    let length = Int.random(in: 1...(Bool.random(using: &generator) ? 700 : 6000), using: &generator)
    let start = Int.random(in: 0...(Self.size - length), using: &generator)
    let range = start..<start + length
    let kind = Int.random(in: 0..<10, using: &generator)
    guard kind < 9 else { return sync() }
    // What overlaps may be carried out in either order.
    guard !pending.values.contains(where: { $0.request.range.overlaps(UInt64(start)..<UInt64(start + length)) }) else { return }
    switch kind {
    case 0..<4: write(range, flags: O_WRONLY)
    case 4: write(range, flags: O_WRONLY | (mayFailInParts ? 0 : O_DSYNC))
    case 5:
      reference.replaceSubrange(range, with: repeatElement(0, count: length))
      submit(file.allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, UInt64(start), UInt64(length))) { Pending(request: $0) }
    default:
      let buffer = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 1)
      let expected = Array(reference[range])
      submit(file.read(UInt64(start), length)) { Pending(request: $0, buffer: buffer, expected: expected) }
    }
  }

  private mutating func write(_ range: Range<Int>, flags: Int32) {
    let payload = range.map { _ in UInt8.random(in: 1...255, using: &generator) }
    reference.replaceSubrange(range, with: payload)
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: range.count, alignment: 1)
    buffer.copyMemory(from: payload, byteCount: range.count)
    submit(file.write(UInt64(range.lowerBound), buffer, range.count, isDirect: true, flags: flags)) {
      Pending(request: $0, buffer: buffer)
    }
  }

  private mutating func sync() {
    let answered = answered
    submit(file.sync()) { Pending(request: $0, answered: answered) }
  }

  private mutating func submit(_ step: FileRequest.Step, _ makePending: (FileRequest) -> Pending) {
    guard case .ask(let request, let operation) = step else { return }
    lastToken += 1
    pending[lastToken] = makePending(request)
    submit(operation, lastToken)
  }

  private mutating func submit(_ operation: NBDProtocol.Operation, _ token: UInt) {
    var operation = operation
    operation.token = Token(.source, token)
    if operation.command == .read { operation.buffer = pending[token]?.buffer }
    let isAccepted = machine.submit(operation)
    #expect(isAccepted, "seed \(seed): there is room")
    takeCompletions()
  }

  // MARK: The wire

  /// Has the server carry out one of the requests that it has. False where it has none.
  @discardableResult
  private mutating func answerOne() -> Bool {
    while !machine.output.isEmpty {
      let sent = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 8) { vectors in
        vectors.prefix(machine.output.fill(vectors)).flatMap {
          Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len))
        }
      }
      wire += sent
      machine.sent(sent.count)
    }
    while let request = ModelDisk.Request(wire[...]) {
      requests.append(request)
      wire.removeFirst(request.end)
    }
    guard let index = requests.indices.randomElement(using: &generator) else { return false }
    receive(disk.execute(requests.remove(at: index)))
    return true
  }

  private mutating func receive(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      var count = 0
      withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 8) { vectors in
        guard let base = vectors.baseAddress else { return }
        for index in 0..<machine.receiveVectors(base) {
          let part = Array(rest.dropFirst(count).prefix(vectors[index].iov_len))
          vectors[index].iov_base?.copyMemory(from: part, byteCount: part.count)
          count += part.count
        }
      }
      machine.received(count)
      rest = rest.dropFirst(count)
      takeCompletions()
    }
  }

  private mutating func takeCompletions() {
    do {
      while let event = try machine.next() {
        guard case .completed(let completion) = event else {
          Issue.record("seed \(seed): \(event)")
          return
        }
        complete(completion.token.value, completion.outcome)
      }
    } catch { Issue.record("seed \(seed): \(error)") }
  }

  private mutating func complete(_ token: UInt, _ outcome: Outcome) {
    guard let entry = pending[token] else {
      Issue.record("seed \(seed): a completion for nobody")
      return
    }
    switch file.proceed(entry.request, outcome, data: entry.buffer) {
    case .ask(let request, let operation):
      pending[token]?.request = request
      submit(operation, token)
    case .reply(let answer):
      pending[token] = nil
      check(entry, outcome, answer)
      entry.buffer?.deallocate()
    }
  }

  private mutating func check(_ entry: Pending, _ outcome: Outcome, _ answer: FileRequest.Answer) {
    let range = Int(entry.request.offset)..<Int(entry.request.offset + entry.request.length)
    switch (entry.request.kind, answer) {
    case (.read, .data(let data)):
      #expect(Array(data) == entry.expected, "seed \(seed): read \(range)")
    case (.write, .written(range.count)), (.zero, .success):
      answered.replaceSubrange(range, with: disk.writes[range])
    case (.sync, .success):
      durable += 1
      let isKept = entry.answered.indices.allSatisfy { disk.durableWrites[$0] >= entry.answered[$0] }
      #expect(isKept, "seed \(seed): fsync said durable")
    case (_, .error(EIO)):
      failed += 1
      // How much of it was written is the server's affair.
      if entry.request.kind.isChange { reference.replaceSubrange(range, with: disk.contents[range]) }
    default: Issue.record("seed \(seed): \(entry.request.kind) \(outcome) said \(answer)")
    }
  }
}

extension FileRequest.Kind {
  fileprivate var isChange: Bool {
    switch self {
    case .write, .zero: true
    case .read, .sync, .seek: false
    }
  }
}
