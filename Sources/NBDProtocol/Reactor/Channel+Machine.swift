/// The bytes of a machine over a channel, each with one system call.
extension Channel {
  /// Sends what `machine` has to say, and tells it how much went.
  @inline(__always)
  func send(_ machine: inout TransmissionMachine) -> Result {
    // Of at most 1024 bytes: a larger temporary allocation is one on the heap, for each send.
    let result = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 64) { vectors in
      send(vectors.baseAddress, count: machine.output.fill(vectors))
    }
    if case .moved(let count) = result { machine.sent(count) }
    return result
  }

  /// Receives what has come to where `machine` wants it; the machine then has events. `isDrained`: there was less than it had room
  /// for, so that the stream is empty.
  @inline(__always)
  func receive(_ machine: inout TransmissionMachine) -> (result: Result, isDrained: Bool) {
    var room = 0
    let result = withUnsafeTemporaryAllocation(of: IOVector.self, capacity: 2) { vectors in
      guard let base = vectors.baseAddress else { return Result.notNow }
      let count = machine.receiveVectors(base)
      for index in 0..<count { room += base[index].iov_len }
      return receive(base, count: count)
    }
    guard case .moved(let count) = result else { return (result, false) }
    machine.received(count)
    return (result, count < room && !hasMore)
  }
}
