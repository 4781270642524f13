import Benchmark
import CAllocationCount

@testable import NBDProtocol

/// Operations in one iteration; the harness divides by it.
private let operations = 1000
/// Operations in flight in a round trip: the deepest divisor of ``operations`` near the 32 of the whole-program benchmark.
private let depth = 25
/// Bytes of the reads whose parsing alone is measured: small, so that ``operations`` replies fit the receive buffer. Data
/// that came whole is not touched, so that its size makes no difference.
private let smallRead = 128

private let allocations = BenchmarkMetric.custom("Allocations", polarity: .prefersSmaller, useScalingFactor: false)

/// Measures `body` alone: its time, and the allocations in it, all ``operations`` of them together.
@inline(__always)
private func measure(_ benchmark: Benchmark, _ body: () -> Void) {
  benchmark.startMeasurement()
  let before = allocation_count()
  body()
  let after = allocation_count()
  benchmark.stopMeasurement()
  benchmark.measurement(allocations, Int(after - before))
}

/// Submits `count` operations of `length` bytes.
@inline(__always)
private func submit(_ server: inout FakeServer, _ command: Command, _ length: Int, _ count: Int, buffered: Bool) {
  for number in 0..<count {
    let accepted = server.machine.submit(
      Operation(
        command, offset: UInt64(number * length), length: UInt64(length),
        buffer: command == .write || buffered ? server.payload : nil,
        token: Token(.source, UInt(number))))
    precondition(accepted, "the machine had no room")
  }
}

/// From submission to completion, ``depth`` at a time.
private func roundTrips(_ server: inout FakeServer, _ command: Command, _ length: Int) {
  for _ in 0..<(operations / depth) {
    submit(&server, command, length, depth, buffered: false)
    server.send()
    server.receive(dataBytes: command == .read ? length : 0)
    let completed = server.complete()
    precondition(completed == depth, "\(completed) of \(depth) operations ended well")
  }
}

/// Submitting small reads, and nothing else.
private func encodeReads(_ benchmark: Benchmark, _ replies: ReplyForm) {
  var server = FakeServer(replies)
  for round in 0..<2 {
    if round == 0 {
      submit(&server, .read, smallRead, operations, buffered: false)
    } else {
      measure(benchmark) { submit(&server, .read, smallRead, operations, buffered: false) }
    }
    server.send()
    server.receive(dataBytes: smallRead)
    precondition(server.complete() == operations)
  }
}

/// Parsing the replies to small reads, and nothing else.
private func parseReads(_ benchmark: Benchmark, _ replies: ReplyForm, _ reply: FakeServer.ReadReply) {
  var server = FakeServer(replies, reply)
  for round in 0..<2 {
    submit(&server, .read, smallRead, operations, buffered: reply == .chunked)
    server.send()
    server.receive(dataBytes: smallRead)
    var completed = 0
    if round == 0 {
      completed = server.complete()
    } else {
      measure(benchmark) { completed = server.complete() }
    }
    precondition(completed == operations, "\(completed) of \(operations) operations ended well")
  }
}

/// All that the machine does for an operation.
private func roundTrip(_ benchmark: Benchmark, _ replies: ReplyForm, _ command: Command) {
  var server = FakeServer(replies)
  // The first time, buffers that are kept afterwards may be allocated.
  roundTrips(&server, command, 4096)
  measure(benchmark) { roundTrips(&server, command, 4096) }
}

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, allocations], timeUnits: .nanoseconds, warmupIterations: 3, scalingFactor: .kilo,
    maxDuration: .milliseconds(500), maxIterations: 1000)

  // Shows that the zeros below are counted, and not a counter that counts nothing.
  Benchmark("control-one-allocation-each") { benchmark in
    measure(benchmark) {
      for _ in 0..<operations { blackHole(UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8).freed()) }
    }
  }

  let forms: [(name: String, replies: ReplyForm)] = [
    ("simple", .simple), ("structured", .structured), ("extended", .extended),
  ]
  for (name, replies) in forms {
    if replies != .structured {
      // Structured replies do not change the requests.
      Benchmark("encode-read-\(replies == .extended ? "extended" : "compact")") {
        encodeReads($0, replies)
      }
    }
    Benchmark("parse-read-\(name)-whole") { parseReads($0, replies, .whole) }
    if replies != .simple {
      Benchmark("parse-read-\(name)-chunks") { parseReads($0, replies, .chunked) }
    }
    Benchmark("submit-to-complete-read-4k-\(name)") { roundTrip($0, replies, .read) }
    Benchmark("submit-to-complete-write-4k-\(name)") { roundTrip($0, replies, .write) }
  }
}

extension UnsafeMutableRawPointer {
  /// Frees the memory; out of line, so that the allocation cannot be optimised away.
  @inline(never)
  fileprivate func freed() -> Int {
    let address = Int(bitPattern: self)
    deallocate()
    return address
  }
}
