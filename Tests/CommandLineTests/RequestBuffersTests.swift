import Testing

@testable import NBDMount

/// The memory of a reactor's requests stays within its bound whatever is asked of it.
struct RequestBuffersTests {
  private static let page = 4096

  @Test func alignsPayloadsAndLeavesRoomForTheHeader() throws {
    var buffers = try RequestBuffers(largest: 1 << 20, budget: 8 << 20)
    for length in [1, 4096, 65_536, 1 << 20] {
      let buffer = try present(buffers.take(length))
      #expect(UInt(bitPattern: buffer.start) % UInt(Self.page) == 0)
      // Traps where the room is not there, under the address sanitizer at the latest.
      (buffer.start - DeviceWire.outHeader).initializeMemory(as: UInt8.self, repeating: 1, count: DeviceWire.outHeader + length)
      buffers.give(buffer)
    }
  }

  @Test func hasNoRoomOnceTheLargeOnesAreTaken() throws {
    var buffers = try RequestBuffers(largest: 1 << 20, budget: 4 << 20)
    var taken: [RequestBuffers.Buffer] = []
    while buffers.haveRoom { taken.append(buffers.takeLarge()) }
    // Four in flight, and one to read the next request to.
    #expect(taken.count == 5)
    #expect(Set(taken.map(\.start)).count == 5)
    buffers.give(taken[2])
    let haveRoom = buffers.haveRoom
    #expect(haveRoom)
  }

  @Test func hasNoRoomOnceThePoolIsSpent() throws {
    var buffers = try RequestBuffers(largest: 1 << 20, budget: 4 << 20)
    var taken: [RequestBuffers.Buffer] = []
    while buffers.haveRoom { taken.append(try present(buffers.take(1 << 16))) }
    // 64 KiB each, and the page in front of it.
    #expect(taken.count == 61)
    for buffer in taken { buffers.give(buffer) }
    let haveRoom = buffers.haveRoom
    #expect(haveRoom)
  }

  @Test func smallWritesLeaveLargeBuffersToLargeOnes() throws {
    var buffers = try RequestBuffers(largest: 1 << 20, budget: 8 << 20)
    var kept = 0
    while buffers.haveRoom, buffers.shouldKeep(32_768) {
      _ = buffers.takeLarge()
      kept += 1
    }
    #expect(kept == 5, "of nine")
    let keepsLarge = buffers.shouldKeep(1 << 20)
    #expect(keepsLarge)
  }

  @Test(arguments: [1, 2, 4, 8, 16, 100, 256]) func moreConnectionsTakeNoMoreMemory(reactors: Int) throws {
    let largest = ReactorEngine.largestRequest(reactors: reactors)
    #expect(Int(largest) * 2 * reactors <= ReactorEngine.budget && largest >= 32 << 10)
    #expect(reactors > 8 || largest == 1 << 20, "no smaller than it has to be")
  }

  /// The kernel refuses reads from its device into less than its smallest buffer, whatever the largest write is.
  @Test func theSmallestIsWhatTheKernelAccepts() throws {
    let sizes = try [1, 10_000].map { try RequestBuffers(largest: $0, budget: 0).largest }
    #expect(sizes == [8192, 12_288])
  }
}
