import Testing

@testable import NBDMount

/// The memory of requests whose callers are gone: apart from that of the others, and bounded too.
@Suite struct DisownedBuffersTests {
  @Test(arguments: [1 << 20, 1 << 16]) func disownedBuffersMakeRoomUpToTheBudgetAgain(length: Int) throws {
    var buffers = try RequestBuffers(largest: 1 << 20, budget: 4 << 20)
    var taken: [RequestBuffers.Buffer] = []
    func fill() throws {
      while buffers.haveRoom { taken.append(try present(buffers.take(length))) }
    }
    try fill()
    let inBudget = taken.count
    for index in taken.indices { buffers.disown(&taken[index]) }
    try fill()
    let disowned = taken.count(where: \.isDisowned)
    #expect(taken.count == inBudget + disowned && disowned >= inBudget - 2 && disowned <= inBudget)
    #expect(Set(taken.map(\.start)).count == taken.count)
    // All of it comes back, in any order.
    for buffer in taken.shuffled() { buffers.give(buffer) }
    taken = []
    try fill()
    #expect(taken.count == inBudget)
    for buffer in taken { buffers.give(buffer) }
  }

  @Test func whatIsReservedIsRoomThatIsTaken() throws {
    var buffers = try RequestBuffers(largest: 1 << 20, budget: 4 << 20)
    var reserved: [Int] = []
    while buffers.haveRoom { reserved.append(buffers.reserve(65_536)) }
    #expect(reserved.count == 61)
    for cost in reserved { buffers.unreserve(cost) }
    let haveRoom = buffers.haveRoom
    #expect(haveRoom)
  }
}
