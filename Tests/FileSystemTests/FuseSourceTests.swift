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

  /// A thread of its own, which the source is bound to.
  private func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      do {
        try POSIXThread.startDetached("a test") { continuation.resume(with: Result(catching: body)) }
      } catch { continuation.resume(throwing: error) }
    }
  }
}
