import Foundation
import SystemPackage
import Testing

@testable import NBDProtocol

extension SessionRecording: CustomTestStringConvertible { var testDescription: String { name } }

/// Recorded sessions with real servers: Fixtures/Sessions, one file each. `Scripts/record-fixtures.sh` makes them anew.
@Suite struct SessionRecordingTests {
  static let all = SessionRecording.all

  @Test func theRecordingsAreThereAndReadable() {
    #expect(Self.all.map(\.name) == Fixtures.texts(in: "Sessions").map(\.name))
    #expect(Self.all.count == 8)
  }

  @Test(arguments: all) func aRecordingIsReplayedExactly(recording: SessionRecording) throws {
    try Self.replay(recording) { _, bytes in [bytes[...]] }
  }

  @Test(arguments: all) func aRecordingIsReplayedByteByByte(recording: SessionRecording) throws {
    try Self.replay(recording) { _, bytes in bytes.indices.map { bytes[$0...$0] } }
  }

  @Test(arguments: all) func aRecordingIsReplayedCutAtEveryOffset(recording: SessionRecording) throws {
    for cut in 0..<recording.serverBytes.count {
      try Self.replay(recording) { start, bytes in
        let offset = cut - start
        return bytes.indices.contains(offset) ? [bytes[..<offset], bytes[offset...]] : [bytes[...]]
      }
    }
  }

  // RB-046, RB-080: the server's stream ends early, anywhere
  @Test(arguments: all) func aRecordingThatEndsEarlyEndsEachOperationOnce(recording: SessionRecording) throws {
    for cut in 0..<recording.serverBytes.count {
      var player = try SessionPlayer(exportName: recording.exportName)
      var left = cut
      play: for event in recording.events {
        switch event {
        case .submit(let text): try player.submit(text)
        case .client: _ = player.output()
        case .server(let bytes):
          player.receive(bytes.prefix(left))
          left -= bytes.count
          if left < 0 { break play }
        case .outcome: break
        }
      }
      #expect(player.error == nil && player.violation == nil, "cut at \(cut)")
      player.end()
    }
  }

  /// Plays the client's part and compares: the same bytes, the same outcomes.
  static func replay(_ recording: SessionRecording, cut: (Int, [UInt8]) -> [ArraySlice<UInt8>]) throws {
    var player = try SessionPlayer(exportName: recording.exportName)
    var outcomes: [String] = []
    var position = 0
    for event in recording.events {
      switch event {
      case .submit(let text): try player.submit(text)
      case .client(let bytes):
        let output = player.output()
        #expect(output == bytes, "the client's bytes before \(position)")
      case .server(let bytes):
        for piece in cut(position, bytes) { player.receive(piece) }
        position += bytes.count
        outcomes += player.takeOutcomes()
      case .outcome(let text):
        let next = outcomes.isEmpty ? nil : outcomes.removeFirst()
        #expect(next == text)
      }
    }
    #expect(outcomes == [] && player.error == nil && player.violation == nil)
    player.end()
  }
}
