import Testing

@testable import NBDProtocol

/// What the client asks for once it does not ask for again, whatever the server answers.
@Suite struct HandshakeRepetitionTests {
  /// An option as the client sent it.
  private struct Asked {
    let number: UInt32
    let data: [UInt8]
  }

  /// Plays a server that answers each option with what `answer` gives; nobody but the client ends the conversation. The
  /// options in their order, at most 50.
  private func options(_ request: HandshakeRequest, answer: (Asked) -> [UInt8]) throws -> [Asked] {
    var machine = try HandshakeMachine(request)
    var said: [UInt8] = []
    // Behind the client's flags.
    var position = 4
    var asked: [Asked] = []
    var words = Server.greeting()
    while asked.count < 50 {
      do throws(NBDError) { try machine.receive(words.span.bytes) } catch {
        // Its last words are looked at like all others.
      }
      said += machine.takeOutput()
      guard said.count >= position + 16, Array(said[position..<(position + 8)]) == ascii("IHAVEOPT") else { break }
      func number(_ start: Int) -> UInt32 { said[start..<(start + 4)].reduce(0) { $0 << 8 | UInt32($1) } }
      let end = position + 16 + Int(number(position + 12))
      try #require(said.count >= end, "an option that is not whole")
      let option = Asked(number: number(position + 8), data: Array(said[(position + 16)..<end]))
      position = end
      asked.append(option)
      words = answer(option)
    }
    return asked
  }

  // OPT-095, URI-004: TLS, structured replies, contexts and extended headers are agreed once or not at all; TLS is not asked for
  // where the URI does not. An error of any kind is no reason to try again.
  @Test(arguments: [1, 2, 3, 4, 6, 8, 9, 10, 0xbeef] as [UInt32]) func whatChangesTheSessionIsAskedForOnce(error: UInt32) throws {
    for refused in 0..<16 {
      func isRefused(_ bit: Int) -> Bool { refused & 1 << bit != 0 }
      let asked = try options(HandshakeRequest(exportName: "disk")) { option in
        switch option.number {
        case 11: isRefused(0) ? Server.error(11, error) : Server.ack(11)
        case 8: isRefused(1) ? Server.error(8, error) : Server.ack(8)
        case 10: isRefused(2) ? Server.error(10, error) : Server.context(10, id: 1, "base:allocation") + Server.ack(10)
        case 7: isRefused(3) ? Server.error(7, 1) : Server.infoExport(size: 512, flags: 1) + Server.ack(7)
        default: []
        }
      }
      let numbers = asked.map(\.number)
      #expect(Set(numbers).count == numbers.count, "\(numbers), error \(error), refused \(refused)")
      #expect(numbers.contains(7) && !numbers.contains(5), "\(numbers)")
      #expect(numbers.contains(8) == isRefused(0), "\(numbers)")
    }
  }

  // OPT-092: the sizes were asked for at once, so that this error, too, is the end and no loop.
  @Test func blockSizesAreAskedForBeforeAServerInsists() throws {
    for goal in [HandshakeRequest.Goal.transmission, .information] {
      let asked = try options(.direct(goal: goal)) { Server.error($0.number, 8, "ask for block sizes") }
      let option: UInt32 = goal == .transmission ? 7 : 6
      #expect(asked.map(\.number) == [option, 2])
      // Behind the name: how many items, and the items, of which NBD_INFO_BLOCK_SIZE is 3.
      let items = try #require(asked.first).data.dropFirst(4 + 4 + 2)
      let pairs = stride(from: items.startIndex, to: items.endIndex - 1, by: 2).map { items[$0] << 8 | items[$0 + 1] }
      #expect(pairs.contains(3))
    }
  }
}
