import Foundation
import SystemPackage
import TestSupport
import Testing

@testable import NBDProtocol

/// The client and real servers: a short session with each that is recorded and replayed, and many threads at once.
@Suite(.timeLimit(.minutes(10))) struct RealServerTests {
  /// A server to start, its name in the recordings, and its export.
  struct Plan: Sendable {
    var name: String
    var kind: ServerKind
    var exportName = ""
    /// What the export holds.
    var contents = zeros(64 * 1024)
    var isReadOnly = false
    var steps = RealServerTests.steps

    /// What is in the file.
    static let disk = pattern(1024) + zeros(63 * 1024)

    /// - Parameters:
    ///   - disk: a file of 64 KiB.
    ///   - program: makes the name of a program of a server's.
    static func all(_ disk: String, suffix: String, program: (String) -> String) -> [Plan] {
      let nbdkit = program("nbdkit")
      let blocks = [
        "--filter=blocksize-policy", "memory", "64K", "blocksize-minimum=512", "blocksize-preferred=4096",
        "blocksize-maximum=65536", "blocksize-error-policy=error",
      ]
      let few = [["write 510 4", "write 514 2"], ["read 510 6"], ["zero 511 1"], ["disconnect"]]
      return [
        Plan(name: "nbdkit" + suffix, kind: .nbdkit(["memory", "64K"], program: nbdkit)),
        Plan(name: "nbdkit-blocks" + suffix, kind: .nbdkit(blocks, program: nbdkit), steps: few),
        Plan(
          name: "nbdkit-read-only" + suffix, kind: .nbdkit(["-r", "pattern", "64K"], program: nbdkit),
          contents: (0..<8192).flatMap { be64($0 * 8) }, isReadOnly: true),
        Plan(
          name: "qemu-nbd" + suffix, kind: .qemuNBD(["-f", "raw", "--discard=unmap", disk], program: program("qemu-nbd")),
          contents: Self.disk),
        Plan(
          name: "nbd-server" + suffix, kind: .nbdServer(image: disk, program: program("nbd-server")), exportName: "disk",
          contents: Self.disk),
      ]
    }
  }

  /// What is asked of each server: groups that are in flight together.
  static let steps: [[String]] = [
    ["read 0 16"], ["write 8 8", "read 32768 8"], ["read 0 24"], ["write 100 4 fua"], ["flush"], ["zero 4 8"],
    ["read 0 16", "read 96 8"], ["status 0 65536"], ["status 0 512 one"], ["trim 4096 4096"], ["cache 0 4096"],
    ["disconnect"],
  ]

  // `NBD_PEERS` names a folder with newer builds, `NBD_RECORD` asks for the recordings: Scripts/record-fixtures.sh.
  @Test func aSessionWithEachServerReplaysFromItsRecording() async throws {
    try await withTemporaryDirectory { directory in
      let disk = directory / "disk"
      var plans = Plan.all(disk, suffix: "") { $0 }
      if let peers = TestSetting.text("NBD_PEERS") {
        plans += Plan.all(disk, suffix: "-testing") { "\(peers)/\($0)-testing" }
      }
      for plan in plans {
        try Data(Plan.disk).write(to: URL(filePath: disk))
        try await withServer(plan.kind, in: directory) { server in
          let uri = try NBDURI(server.uri(export: plan.exportName))
          let recording = try await onThread { try Self.record(plan, try ServerEndpoint(uri)) }
          Self.check(recording, plan)
          try SessionRecordingTests.replay(recording) { _, bytes in bytes.indices.map { bytes[$0...$0] } }
          let again = try #require(SessionRecording(name: "", text: recording.text))
          #expect(again.events == recording.events)
          if TestSetting.text("NBD_RECORD") != nil {
            let file = Fixtures.folder.appending(path: "Sessions/\(plan.name).txt")
            try recording.text.write(to: file, atomically: true, encoding: .utf8)
          }
        }
      }
    }
  }

  private static func record(_ plan: Plan, _ endpoint: ServerEndpoint) throws -> SessionRecording {
    let socket = try endpoint.connect(deadline: .after(milliseconds: 10_000))
    var recording = SessionRecording(name: plan.name, comments: [plan.name])
    recording.exportName = plan.exportName
    var player = try SessionPlayer(exportName: plan.exportName)

    func exchange(until isDone: (borrowing SessionPlayer) -> Bool) throws {
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        let output = player.output()
        recording.append(output, isClient: true)
        var rest = output[...]
        while !rest.isEmpty {
          let count = rest.withUnsafeBytes { send(socket.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
          try #require(count > 0)
          rest = rest.dropFirst(count)
        }
        if isDone(player) { return }
        let isReadable = try Syscall.poll(socket.rawValue, for: Int32(POLLIN), until: .after(milliseconds: 10_000))
        try #require(isReadable, "\(plan.name) is silent")
        let count = recv(socket.rawValue, &buffer, buffer.count, 0)
        try #require(count > 0, "\(plan.name) hung up")
        recording.append(Array(buffer.prefix(count)), isClient: false)
        player.receive(buffer.prefix(count))
        try #require(player.error == nil && player.violation == nil)
      }
    }

    try exchange { $0.isTransmitting }
    for step in plan.steps {
      for text in step where text == "disconnect" || player.allows(command(of: text)) {
        recording.events.append(.submit(text))
        try player.submit(text)
      }
      try exchange { $0.isComplete }
      recording.events += player.takeOutcomes().map { .outcome($0) }
    }
    player.end()
    return recording
  }

  /// Every operation has succeeded, and every read has delivered what was there or was written before it.
  private static func check(_ recording: SessionRecording, _ plan: Plan) {
    var contents = plan.contents
    var submitted: [String] = []
    for event in recording.events {
      switch event {
      case .submit(let text):
        submitted.append(text)
        guard let ask = try? SessionPlayer.ask(text), ask.command == .write || ask.command == .writeZeroes else { break }
        let bytes = ask.command == .write ? ask.payload : zeros(Int(ask.length))
        contents.replaceSubrange(Int(ask.offset)..<Int(ask.offset + ask.length), with: bytes)
      case .outcome(let outcome):
        let text = String(outcome.prefix { $0 != ":" })
        guard let ask = try? SessionPlayer.ask(text) else {
          Issue.record("\(plan.name): \(outcome)")
          break
        }
        switch ask.command {
        case .read:
          let data = SessionRecording.hexadecimal(contents[Int(ask.offset)..<Int(ask.offset + ask.length)])
          #expect(outcome == "\(text): success \(data)", "\(plan.name)")
        case .blockStatus: #expect(outcome.hasPrefix("\(text): success \(ask.offset)+"), "\(plan.name): \(outcome)")
        default: #expect(outcome == "\(text): success", "\(plan.name)")
        }
      case .client, .server: break
      }
    }
    let needed = plan.steps.joined().filter { $0.hasPrefix("read") || ($0.hasPrefix("write") && !plan.isReadOnly) }
    #expect(Set(submitted).isSuperset(of: needed), "\(plan.name) did only \(submitted)")
  }

  private static func command(of text: String) -> NBDProtocol.Command {
    switch text.prefix(4) {
    case "read": .read
    case "writ": .write
    case "zero": .writeZeroes
    case "trim": .trim
    case "cach": .cache
    case "stat": .blockStatus
    default: .flush
    }
  }

  // Each thread owns every eighth piece of 3000 bytes, so that neighbours share blocks; all must be there at the end.
  @Test func manyThreadsWriteWhatIsReadBack() async throws {
    try await withTemporaryDirectory { directory in
      let disk = try directory.sparseFile("disk", size: 1 << 20)
      let blocks = [
        "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096", "blocksize-preferred=4096",
        "blocksize-maximum=8192", "blocksize-error-policy=error",
      ]
      let plans: [(ServerKind, String)] = [
        (.nbdkit(["memory", "1M"]), ""), (.nbdkit(blocks), ""), (.qemuNBD(["-f", "raw", disk]), ""),
        (.nbdServer(image: disk), "disk"),
      ]
      for (kind, exportName) in plans {
        try await withServer(kind, in: directory) { server in
          let uri = server.uri(export: exportName)
          let client = try await onThread {
            try NBDClient(uri: uri, configuration: NBDClient.Configuration(connections: 3))
          }
          let size = 3000
          let pieces = Int(client.export.size) / size
          try await onThreads(8) { thread in
            do {
              for piece in stride(from: thread, to: pieces, by: 8) {
                let offset = UInt64(piece * size)
                try client.write(pattern(size, from: offset), at: offset, fua: piece % 16 == 0)
                let read = try client.read(at: offset, count: size)
                if read != pattern(size, from: offset) { Issue.record("\(kind): piece \(piece) is not what was written") }
              }
            } catch { Issue.record("\(kind): \(error)") }
          }
          try await client.flush()
          try await client.zero(at: 5, length: 10)
          let all: [UInt8] = try await client.read(at: 0, count: pieces * size)
          var expected = pattern(pieces * size)
          expected.replaceSubrange(5..<15, with: zeros(10))
          #expect(all == expected, "\(kind)")
          if !client.export.contexts.isEmpty {
            let extents = try await client.blockStatus(at: 0, length: client.export.size)
            #expect(extents.first?.offset == 0 && extents.allSatisfy { $0.end <= client.export.size })
          }
          try await onThread { client.close() }
        }
      }
    }
  }

  // A started server is ended with its client.
  @Test func aStartedServerServesOneClient() async throws {
    try await onThread {
      let endpoint = try ServerEndpoint(.socketActivation(["nbdkit", "memory", "1M"]))
      let client = try NBDClient(endpoint)
      try client.write(pattern(512), at: 1000)
      #expect(try client.read(at: 1000, count: 512) == pattern(512))
      client.close()
      #expect(failure { () throws(NBDError) in _ = try client.read(at: 0, count: 1) } != nil)
    }
  }
}
