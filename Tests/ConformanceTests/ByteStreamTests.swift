import Glibc
import NBDProtocol
import SystemPackage
import Testing

@testable import NBDConformance

/// Bytes inside TLS: all that came are found, and how the server ended is told.
@Suite(.serialized) struct ByteStreamTests {
  /// What became of a conversation.
  private struct Outcome: Sendable {
    var protection: String?
    var bytes: [UInt8] = []
    var hasEnded = false
    var breakage: String?
    var error: String?
  }

  /// Begins TLS with a server that then does `serve`, and closes unless it stays; all of that before a byte is read. On threads of
  /// its own, as it blocks.
  private func outcome(
    clear: [UInt8] = [], stays: Bool = false, _ serve: @escaping @Sendable (ModelTLS) -> Void,
    _ use: @escaping @Sendable (ByteStream, inout Outcome) -> Void
  ) async -> Outcome {
    await withCheckedContinuation { continuation in
      _ = try? POSIXThread.startDetached("a test") {
        continuation.resume(returning: (try? Self.run(clear, stays, serve, use)) ?? Outcome(error: "no connection"))
      }
    }
  }

  /// The server's end of a connection, which blocks, and the client's.
  private static func pair() throws -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      throw Errno(rawValue: errno)
    }
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    return (ends[0], ends[1])
  }

  private static func run(
    _ clear: [UInt8], _ stays: Bool, _ serve: @escaping @Sendable (ModelTLS) -> Void, _ use: (ByteStream, inout Outcome) -> Void
  ) throws -> Outcome {
    let (ours, theirs) = try pair()
    _ = send(ours, clear, clear.count, Int32(MSG_NOSIGNAL))
    let stream = ByteStream(OwnedDescriptor(theirs), patience: 1000, deadline: .after(milliseconds: 20_000))
    var outcome = Outcome()
    if !clear.isEmpty { _ = stream.hasMore(within: 1000) }
    let server = try POSIXThread.start("a server") {
      if let tls = ModelTLS(ours, versions: ModelTLS.versions) { serve(tls) }
      if !stays { close(ours) }
    }
    defer { if stays { close(ours) } }
    do throws(NBDError) {
      guard let credentials = ModelTLS.credentials else { throw .insecure("no credentials") }
      try stream.startTLS(credentials, .current, until: .after(milliseconds: 10_000))
    } catch { outcome.error = "\(error)" }
    if outcome.error != nil { stream.end() }
    pthread_join(server, nil)
    outcome.protection = stream.protection
    if outcome.error == nil { use(stream, &outcome) }
    outcome.hasEnded = stream.hasEnded
    outcome.breakage = stream.breakage
    return outcome
  }

  /// Where a piece ends inside a record, the rest of it is decrypted already, and no system call tells of it: the end would, so that
  /// there is none.
  @Test(arguments: [1, 28, 16_383, 16_384, 65_508, 65_536, 65_537, 100_000]) func everyByteIsFound(count: Int) async {
    let data = Probe.pattern(count)
    let outcome = await outcome(stays: true) { tls in
      _ = tls.send(Array(data.prefix(28)))
      _ = tls.send(Array(data.dropFirst(28)))
    } _: { stream, outcome in
      outcome.bytes = (try? stream.receive(count)) ?? []
    }
    #expect(outcome.protection?.hasPrefix("TLS1.3") ?? false)
    #expect(outcome.bytes == data)
  }

  @Test func theEndOfTLSIsAnEndInOrder() async {
    let outcome = await outcome { tls in
      _ = tls.send([1, 2, 3])
      tls.end()
    } _: { stream, outcome in
      outcome.bytes = stream.rest(10)
    }
    #expect(outcome.bytes == [1, 2, 3] && outcome.hasEnded && outcome.breakage == nil)
  }

  @Test func aConnectionThatIsCutIsTold() async {
    let outcome = await outcome { tls in
      _ = tls.send([1, 2, 3])
    } _: { stream, outcome in
      outcome.bytes = stream.rest(10)
    }
    #expect(outcome.bytes == [1, 2, 3] && outcome.hasEnded)
    #expect(outcome.breakage?.contains("without the end of TLS") ?? false, "\(outcome)")
  }

  @Test func whatCameInTheClearIsNotTakenForWhatIsInside() async {
    let outcome = await outcome(clear: [1]) { _ in
    } _: { _, _ in
    }
    #expect(outcome.protection == nil && outcome.error?.contains("in the clear") ?? false, "\(outcome)")
  }

  /// More than the sockets' buffers hold, both ways at once.
  @Test func neitherSideWaitsForTheOther() async {
    let count = 4 << 20
    let outcome = await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
      _ = try? POSIXThread.startDetached("a test") {
        continuation.resume(returning: (try? Self.exchange(count)) ?? Outcome(error: "no connection"))
      }
    }
    #expect(outcome.error == nil)
    #expect(outcome.bytes == Probe.pattern(count))
  }

  /// A server that sends `count` bytes before it reads as many.
  private static func exchange(_ count: Int) throws -> Outcome {
    let (ours, theirs) = try pair()
    let data = Probe.pattern(count)
    let server = try POSIXThread.start("a server") {
      defer { close(ours) }
      guard let tls = ModelTLS(ours, versions: ModelTLS.versions), tls.send(data) else { return }
      var bytes = [UInt8](repeating: 0, count: count)
      var position = 0
      while position < count {
        let got = bytes.withUnsafeMutableBytes { tls.receive(UnsafeMutableRawBufferPointer(rebasing: $0[position...])) }
        guard got > 0 else { return }
        position += got
      }
      if bytes == data { _ = tls.send([7]) }
      tls.end()
    }
    defer { pthread_join(server, nil) }
    var outcome = Outcome()
    let stream = ByteStream(OwnedDescriptor(theirs), patience: 5000, deadline: .after(milliseconds: 20_000))
    guard let credentials = ModelTLS.credentials else { throw Errno(rawValue: ENOENT) }
    try stream.startTLS(credentials, .current, until: .after(milliseconds: 10_000))
    if try !stream.send(data) { outcome.error = "the server has gone" }
    outcome.bytes = try stream.receive(count)
    if try stream.receive(1) != [7] { outcome.error = "the server has read other bytes" }
    return outcome
  }
}
