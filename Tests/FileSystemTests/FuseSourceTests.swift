import CFuse3
import Glibc
import Synchronization
import Testing

@testable import NBDMount
@testable import NBDProtocol

/// What becomes of requests in the reactor engine, with the test in the places of the kernel and of the server.
@Suite(.timeLimit(.minutes(2))) struct FuseSourceTests {
  /// A block status of one extent, in one structured chunk, for context 0.
  private static func status(_ request: ModelDisk.Request, _ length: UInt32, isHole: Bool) -> [UInt8] {
    let header: [UInt8] = [0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 5] + request.handle
    let numbers = [12, 0, length, isHole ? 3 : 0] as [UInt32]
    return header + numbers.flatMap { number in withUnsafeBytes(of: number.bigEndian) { Array($0) } }
  }

  /// Data begins at 64 KiB. When the server has said that there is a hole before that, others have learned of the data, and yet
  /// others write, so that it is forgotten again: at any moment.
  @Test func aSeekIsAnsweredWhateverIsForgottenMeanwhile() async throws {
    let unanswered = try await onThread { () -> UInt64? in
      var session = try SourceSession(.test(size: 1024 * kib))
      let mayEnd = Atomic<Bool>(false)
      let known = session.file.extents
      let writer = try POSIXThread.start("a writer") {
        var next = MonotonicClock.now
        while !mayEnd.load(ordering: .relaxed) {
          while MonotonicClock.now < next {}
          known.invalidate()
          next = MonotonicClock.now + 2000
        }
      }
      defer {
        mayEnd.store(true, ordering: .relaxed)
        pthread_join(writer, nil)
      }
      for unique in stride(from: 2, to: 40_000, by: 2) as StrideTo<UInt64> {
        let seek = fuse_lseek_in(fh: 0, offset: 0, whence: UInt32(cfuse_seek_data), padding: 0)
        known.invalidate()
        session.kernel.send(ModelKernel.request(FUSE_LSEEK, unique, seek))
        session.readRequests()
        for _ in 0..<2 {
          session.serve { request in
            known.add(extents([(64 * kib, true), (64 * kib, false)]), asked: known.now)
            return Self.status(request, 65_536, isHole: request.range.lowerBound == 0)
          }
        }
        let answer = session.kernel.answer()
        if answer?.unique != unique || answer?.as(fuse_lseek_out.self)?.offset != 64 * kib { return unique }
      }
      return nil
    }
    #expect(unanswered == nil)
  }

  /// The end of `request` in one structured error chunk.
  private static func refusal(_ request: ModelDisk.Request) -> [UInt8] {
    [0x66, 0x8e, 0x33, 0xef, 0, 1, 0x80, 1] + request.handle + [0, 0, 0, 6, 0, 0, 0, 5, 0, 0]
  }

  private static func read(_ unique: UInt64) -> [UInt8] { read(unique, 65_536) }

  private static func read(_ unique: UInt64, _ size: UInt32) -> [UInt8] {
    var body = fuse_read_in()
    body.size = size
    return ModelKernel.request(FUSE_READ, unique, body)
  }

  private static func write(_ unique: UInt64) -> [UInt8] {
    var body = fuse_write_in()
    body.size = 65_536
    var request = ModelKernel.request(FUSE_WRITE, unique, body) + [UInt8](repeating: 7, count: 65_536)
    withUnsafeBytes(of: UInt32(request.count)) { request.replaceSubrange(0..<4, with: $0) }
    return request
  }

  /// More than there is memory for, and a server that answers nothing: what needs no memory is answered, as far as it can be read,
  /// and in the end everything.
  @Test(arguments: [("reads", 300, 301), ("writes", 256, 256)])
  func whatNeedsNoServerIsAnsweredWhereNothingCompletes(kind: String, inFront: Int, all: Int) async throws {
    try await onThread {
      var session = try SourceSession(.test(size: 1 << 20))
      let request = kind == "reads" ? Self.read : Self.write
      for number in 0..<inFront {
        session.kernel.send(request(UInt64(2 * number + 2)))
        session.readRequests()
      }
      session.kernel.send(ModelKernel.request(FUSE_GETATTR, 9998, fuse_getattr_in()))
      // There is no room for what may be a write, and there could be soon.
      session.readRequests()
      #expect(session.kernel.answer() == nil)
      for _ in 0..<2 { session.source.watch(&session.loop) }
      for _ in 0..<8 { session.readRequests() }
      #expect(session.kernel.answer()?.unique == 9998)
      for number in inFront..<(all + 3) {
        session.kernel.send(request(UInt64(2 * number + 2)))
        session.readRequests()
      }
      var answered: [UInt64] = []
      for _ in 0..<20 {
        session.serve(Self.refusal)
        session.readRequests()
        while let answer = session.kernel.answer() {
          #expect(answer.error == -EIO)
          answered.append(answer.unique)
        }
      }
      // Each once, and in the order in which they came.
      #expect(answered == (1...UInt64(all + 3)).map { 2 * $0 })
    }
  }

  /// It would wait for a buffer that there never is.
  @Test func aReadThatIsTooLargeIsRefused() async throws {
    try await onThread {
      var session = try SourceSession(.test(size: 1 << 20))
      session.kernel.send(Self.read(2, 131_072))
      session.readRequests()
      #expect(session.kernel.answer()?.error == -ENOMEM)
    }
  }

  /// A thread of its own, which the source is bound to.
  private func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      do {
        try POSIXThread.startDetached("a test") { continuation.resume(with: Result(catching: body)) }
      } catch { continuation.resume(throwing: error) }
    }
  }
}
