import NBDProtocol

/// The memory of requests, and those that wait for it.
///
/// As long as the server answers, a request is read only when there is memory for it, whatever it is. Where nothing is answered any
/// more, that would leave the questions about names and sizes in the kernel behind reads and writes, and the last request of a
/// process that is killed, the flush of its file, without which it cannot end. So the source reads on then: a read that has no
/// buffer waits in ``waiting``, which costs its slot; a write keeps the place that it was read to, and when that was the
/// last one, all that is behind it stays in the kernel.
extension FuseSource {
  /// Keeps the payload that was read to ``incoming`` until the write is answered.
  func keepPayload(_ operation: inout Operation) {
    guard let slot = slots.pointer(operation.token), let payload = operation.buffer else { return }
    let length = Int(operation.length)
    if !buffers.shouldKeep(length), let copy = buffers.take(length) {
      copy.start.copyMemory(from: payload, byteCount: length)
      operation.buffer = copy.start
      slot.pointee.buffer = copy
    } else {
      slot.pointee.buffer = incoming
      incoming = buffers.haveLarge ? buffers.takeLarge() : nil
    }
  }

  /// Finds memory for what a read is going to give. False where there is none now.
  @inline(__always)
  func prepare(_ operation: inout Operation) -> Bool {
    guard operation.command == .read, let slot = slots.pointer(operation.token) else { return true }
    let length = Int(operation.length)
    if length <= Self.largestUnbuffered {
      guard slot.pointee.reserved == 0 else { return true }
      guard buffers.havePooledRoom else { return false }
      slot.pointee.reserved = buffers.reserve(length)
      return true
    }
    guard operation.buffer == nil else { return true }
    guard let buffer = buffers.take(length) else { return false }
    slot.pointee.buffer = buffer
    operation.buffer = buffer.start
    return true
  }

  /// Submits what waits, as far as there is room, oldest first: nothing that comes later takes the room of what waits for it.
  func resume(_ loop: inout ReactorLoop) {
    submitting: while var operation = waiting.first, prepare(&operation) {
      switch loop.submit(operation) {
      case .accepted: waiting.removeFirst()
      case .full:
        waiting[0] = operation
        break submitting
      case .lost:
        waiting.removeFirst()
        proceed(operation.token, .connectionLost, &loop)
      }
    }
    if incoming == nil, buffers.haveLarge { incoming = buffers.takeLarge() }
  }

  /// Takes a request out of those that wait. False where it is not one of them.
  func forget(_ token: Token) -> Bool {
    guard let index = waiting.firstIndex(where: { $0.token == token }) else { return false }
    waiting.remove(at: index)
    return true
  }

  func buffer(for token: Token, length: UInt64) -> UnsafeMutableRawPointer {
    let slot = slots.pointer(token)
    buffers.unreserve(slot?.pointee.reserved ?? 0)
    slot?.pointee.reserved = 0
    guard let buffer = buffers.take(Int(length)) else {
      // Only small ones ask as late as that: the large ones have taken theirs with the request.
      slot?.pointee.hasNoMemory = true
      return sink
    }
    slot?.pointee.buffer = buffer
    return buffer.start
  }
}
