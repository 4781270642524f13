@testable import NBDProtocol

/// An operation to be tried on a machine.
struct Ask {
  var command: Command
  var flags: CommandFlags = []
  var offset: UInt64 = 0
  var length: UInt64 = 0
  var payload: [UInt8] = []
  var isForLog = false

  static func read(_ offset: UInt64, _ length: UInt64, _ flags: CommandFlags = []) -> Ask {
    Ask(command: .read, flags: flags, offset: offset, length: length)
  }
  static func write(_ offset: UInt64, _ payload: [UInt8], _ flags: CommandFlags = []) -> Ask {
    Ask(command: .write, flags: flags, offset: offset, length: UInt64(payload.count), payload: payload)
  }
  static func status(_ offset: UInt64, _ length: UInt64, _ flags: CommandFlags = []) -> Ask {
    Ask(command: .blockStatus, flags: flags, offset: offset, length: length)
  }
  static let flush = Ask(command: .flush)
  /// One that nobody asked for.
  static let flushForLog = Ask(command: .flush, isForLog: true)
}

/// Memory with sentinels on both sides, to see that nobody writes next to it.
final class GuardedBuffer {
  static let margin = 64
  let base: UnsafeMutableRawPointer
  let count: Int

  init(_ count: Int) {
    self.count = count
    base = .allocate(byteCount: count + 2 * Self.margin, alignment: 64)
    base.initializeMemory(as: UInt8.self, repeating: 0xa5, count: count + 2 * Self.margin)
  }

  deinit { base.deallocate() }

  var start: UnsafeMutableRawPointer { base + Self.margin }
  var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: start, count: count)) }
  func fill(_ bytes: [UInt8]) { start.copyMemory(from: bytes, byteCount: min(count, bytes.count)) }

  var isIntact: Bool {
    let all = UnsafeRawBufferPointer(start: base, count: count + 2 * Self.margin)
    return all.prefix(Self.margin).allSatisfy { $0 == 0xa5 } && all.suffix(Self.margin).allSatisfy { $0 == 0xa5 }
  }
}

/// A ``TransmissionMachine`` with its surroundings: buffers, what was sent, what completed.
struct MachineSession: ~Copyable {
  var machine: TransmissionMachine
  var reader = RequestReader()
  /// Outcomes by operation. More than one is an error of the machine.
  var outcomes: [[Outcome]] = []
  /// What a read delivered.
  var data: [Int: [UInt8]] = [:]
  var extents: [Int: [[Extent]]] = [:]
  var buffers: [Int: GuardedBuffer] = [:]
  var asks: [Ask] = []
  var violation: ProtocolViolation?
  var refused = 0
  /// What the end of the connection gave back.
  private(set) var returned: [ReturnedOperation] = []
  /// Calls of ``receive(_:)``'s socket: each fills what the machine has room for, as one `recvmsg` does.
  private(set) var receives = 0
  /// Reads have no buffer of their own, as a request source submits them.
  let isBufferless: Bool

  init(_ export: Export, leftover: [UInt8] = [], isBufferless: Bool = false, log: WriteLog? = nil) {
    machine = TransmissionMachine(export, leftover: leftover, log: log)
    self.isBufferless = isBufferless
  }

  /// Submits and returns the operation's number, or nil where the machine had no room.
  @discardableResult
  mutating func submit(_ ask: Ask) -> Int? {
    let number = outcomes.count
    var operation = Operation(
      ask.command, flags: ask.flags, offset: ask.offset, length: ask.length,
      token: Token(.source, UInt(number)))
    operation.isForLog = ask.isForLog
    if ask.command == .write || (ask.command == .read && !isBufferless) {
      let buffer = GuardedBuffer(Int(ask.length))
      buffer.fill(ask.payload)
      operation.buffer = buffer.start
      buffers[number] = buffer
    }
    guard machine.submit(operation) else {
      buffers[number] = nil
      refused += 1
      return nil
    }
    outcomes.append([])
    asks.append(ask)
    drain()
    return number
  }

  /// What waits to be sent, at most `most` bytes of it, taken.
  mutating func takeOutput(_ most: Int = .max) -> [UInt8] {
    var taken: [UInt8] = []
    while !machine.output.isEmpty, taken.count < most {
      let bytes = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 3) { vectors in
        let count = machine.output.fill(vectors)
        return vectors.prefix(count).flatMap { Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len)) }
      }
      let part = bytes.prefix(most - taken.count)
      taken += part
      machine.sent(part.count)
    }
    reader.append(taken)
    drain()
    return taken
  }

  /// The requests that the server has received whole.
  mutating func requests() -> [SeenRequest] {
    var requests: [SeenRequest] = []
    repeat {
      while let request = reader.next() { requests.append(request) }
    } while !takeOutput().isEmpty
    while let request = reader.next() { requests.append(request) }
    return requests
  }

  /// A place for received bytes: where, if that is one of the buffers, and for how many.
  struct Room: Equatable {
    var buffer: UnsafeMutableRawPointer?
    var count: Int
    init(_ buffer: UnsafeMutableRawPointer?, _ count: Int) {
      self.buffer = buffer
      self.count = count
    }
  }

  /// Where the machine wants the next bytes.
  mutating func room() -> [Room] {
    withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 2) { vectors in
      guard let base = vectors.baseAddress else { return [] }
      return (0..<machine.receiveVectors(base)).map { index in
        let start = vectors[index].iov_base
        return Room(buffers.values.contains { $0.start == start } ? start : nil, vectors[index].iov_len)
      }
    }
  }

  mutating func receive(_ bytes: some Collection<UInt8>) {
    let all = Array(bytes)
    var position = 0
    while position < all.count, violation == nil {
      receives += 1
      position += withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 2) { vectors in
        guard let base = vectors.baseAddress else { return 0 }
        var taken = 0
        for index in 0..<machine.receiveVectors(base) {
          let count = min(vectors[index].iov_len, all.count - position - taken)
          all.withUnsafeBytes { source in
            if count > 0, let from = source.baseAddress {
              vectors[index].iov_base?.copyMemory(from: from + position + taken, byteCount: count)
            }
          }
          taken += count
        }
        machine.received(taken)
        return taken
      }
      drain()
    }
  }

  mutating func drain() {
    // A connection that has broken the protocol is of no use, and its machine is not asked again.
    guard violation == nil else { return }
    var events = 0
    do {
      while let event = try machine.next() {
        events += 1
        if events > Self.eventsAtOnce { return fault("more than \(Self.eventsAtOnce) events without another byte") }
        switch event {
        case .completed(let completion): note(completion)
        case .returned(let operation):
          note(Completion(token: operation.token, outcome: .failed(.shutdown), data: nil))
        case .needsBuffer(let command, let token, let length):
          let buffer = GuardedBuffer(Int(length))
          buffers[Int(token.value)] = buffer
          machine.provide(buffer: buffer.start, for: command)
        }
      }
    } catch { violation = error }
  }

  private mutating func note(_ completion: Completion) {
    let number = Int(completion.token.value)
    guard completion.token.origin == .source, outcomes.indices.contains(number) else {
      fault("a completion for nobody: \(completion)")
      return
    }
    outcomes[number].append(completion.outcome)
    let ask = asks[number]
    if completion.outcome.isSuccess, ask.command == .read, ask.length > 0 {
      data[number] =
        completion.data.map { Array(UnsafeRawBufferPointer(start: $0, count: Int(ask.length))) } ?? buffers[number]?.bytes
    }
    if ask.command == .blockStatus { extents[number] = machine.takeExtents(completion.token) }
    if buffers[number]?.isIntact == false { fault("memory beside the buffer was written") }
    // The caller's memory is its own again, and is gone.
    if completion.outcome != .connectionLost { buffers[number] = nil }
  }

  /// Something is wrong with what the machine keeps: bytes that it could have parsed, or notes on commands that it has not.
  var isStuck: Bool {
    guard violation == nil else { return false }
    return machine.input.count >= machine.needed || machine.extentsHeld > Limits.extentsHeld + machine.load
      || machine.coverage.count > machine.load || machine.statusReplies.count > machine.load
  }

  /// All events that the bytes of a receive buffer and the commands in flight can amount to, and more.
  private static let eventsAtOnce = 100_000

  var result: SessionResult { SessionResult(outcomes: outcomes, data: data, extents: extents, violation: violation) }

  /// The connection ends.
  mutating func fail() {
    var completions: [Completion] = []
    var lost: [ReturnedOperation] = []
    machine.surrender(completed: { completions.append($0) }, { lost.append($0) })
    for completion in completions { note(completion) }
    for operation in lost { note(Completion(token: operation.operation.token, outcome: .connectionLost, data: nil)) }
    returned += lost
  }
}

/// All that a session came to, to compare one way of cutting the server's bytes with another.
struct SessionResult: Equatable {
  var outcomes: [[Outcome]]
  var data: [Int: [UInt8]]
  var extents: [Int: [[Extent]]]
  var violation: ProtocolViolation?

  var outcome: Outcome? { outcomes.first?.first }
}
