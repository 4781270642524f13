import CLinux
import Glibc
import Testing

@testable import NBDMount
@testable import NBDProtocol

/// What each request asks of the server, and what its outcome says to the kernel.
@Suite struct ExportFileTests {
  private let file = ExportFile(.test(size: 100 * kib))
  private let memory = Memory()

  private final class Memory {
    let start = UnsafeMutableRawPointer.allocate(byteCount: 200 << 10, alignment: 1)
    deinit { start.deallocate() }
  }

  private func write(
    _ offset: UInt64, _ count: Int, isDirect: Bool = true, flags: Int32 = O_WRONLY, to file: ExportFile? = nil
  ) -> FileRequest.Step {
    (file ?? self.file).write(offset, memory.start, count, isDirect: isDirect, flags: flags)
  }

  /// What `step` asks; records an issue where it asks nothing.
  private func asked(_ step: FileRequest.Step) throws -> (request: FileRequest, operation: Operation) {
    guard case .ask(let request, let operation) = step else { throw Unexpected(step: step) }
    return (request, operation)
  }

  private func error(_ step: FileRequest.Step) -> Int32? {
    if case .reply(.error(let number)) = step { number } else { nil }
  }

  private func offset(_ step: FileRequest.Step) -> UInt64? {
    if case .reply(.offset(let offset)) = step { offset } else { nil }
  }

  private func data(_ step: FileRequest.Step) -> Range<UnsafeMutableRawPointer>? {
    guard case .reply(.data(let data)) = step, let start = data.baseAddress else { return nil }
    return start..<start + data.count
  }

  private func isSuccess(_ step: FileRequest.Step) -> Bool {
    if case .reply(.success) = step { true } else { false }
  }

  private struct Unexpected: Error {
    let description: String
    init(step: FileRequest.Step) { description = "\(step)" }
  }

  // MARK: Reading and writing

  @Test func aReadAcrossTheEndIsCutThere() throws {
    let (request, operation) = try asked(file.read(99 * kib, 4096))
    #expect(operation.command == .read && operation.offset == 99 * kib && operation.length == kib)
    #expect(data(file.proceed(request, .success, data: memory.start)) == memory.start..<memory.start + 1024)
    #expect(error(file.proceed(request, .failed(.ioError))) == EIO)
    guard case .reply(.data(let nothing)) = file.read(100 * kib, 1) else { throw Unexpected(step: .reply(.success)) }
    #expect(nothing.isEmpty)
  }

  /// The kernel would take less than it asked for as zeros.
  @Test func aReadWhoseDataIsNowhereIsAnError() throws {
    let (request, _) = try asked(file.read(0, 4096))
    #expect(error(file.proceed(request, .success, data: nil)) == EIO)
  }

  /// Its writer was told of success long ago: fsync is who can still say it. A direct writer is told by write(2) itself.
  @Test(arguments: [true, false]) func aPageThatCannotBeWrittenBackIsReportedByFsync(isDirect: Bool) throws {
    let (request, _) = try asked(write(0, 4096, isDirect: isDirect))
    #expect(error(file.proceed(request, .failed(.noSpace))) == ENOSPC)
    guard !isDirect else { return #expect(isSuccess(file.sync())) }
    let (flush, _) = try asked(file.sync())
    #expect(error(file.proceed(flush, .success)) == EIO)
  }

  @Test func aWriteAcrossTheEndWritesWhatFits() throws {
    let (request, operation) = try asked(write(99 * kib, 4096))
    #expect(operation.length == kib)
    guard case .reply(.written(1024)) = file.proceed(request, .success) else { throw Unexpected(step: .reply(.success)) }
    #expect(error(write(100 * kib, 1)) == ENOSPC)
  }

  /// The kernel's cache takes no notice of how much was written.
  @Test func aWriteOfTheKernelsCacheAcrossTheEndFails() throws {
    let (request, _) = try asked(write(99 * kib, 4096, isDirect: false))
    #expect(error(file.proceed(request, .success)) == ENOSPC)
  }

  @Test func onlyADirectWriteIsDurableByItself() throws {
    #expect(try asked(write(0, 1, flags: O_WRONLY | O_DSYNC)).operation.flags == .fua)
    #expect(try asked(write(0, 1, isDirect: false, flags: O_WRONLY | O_DSYNC)).operation.flags == [])
    #expect(try asked(write(0, 1)).operation.flags == [])
  }

  @Test func aReadOnlyFileIsNotWritten() {
    let file = ExportFile(.test(size: kib), isReadOnly: true)
    #expect(file.open(flags: O_RDWR) == EROFS && file.open(flags: O_RDONLY) == 0)
    #expect(error(write(0, 1, to: file)) == EROFS)
    #expect(error(file.allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1)) == EROFS)
  }

  // MARK: fsync

  @Test func fsyncAsksOnlyWhereSomethingWasWritten() throws {
    #expect(isSuccess(file.sync()))
    let (request, _) = try asked(write(0, 512))
    _ = file.proceed(request, .success)
    let (sync, operation) = try asked(file.sync())
    #expect(operation.command == .flush)
    #expect(isSuccess(file.proceed(sync, .success)))
    #expect(isSuccess(file.sync()))
  }

  @Test func fsyncSaysWhatTheServerSaid() throws {
    let (request, _) = try asked(write(0, 512))
    _ = file.proceed(request, .success)
    #expect(error(file.proceed(try asked(file.sync()).request, .failed(.noSpace))) == ENOSPC)
    #expect(error(file.proceed(try asked(file.sync()).request, .success)) == EIO, "it is still lost")
  }

  /// Its caller was killed before it left: nothing was lost, and nothing is durable.
  @Test func anFsyncThatWasNeverSentChangesNothing() throws {
    let (request, _) = try asked(write(0, 512))
    _ = file.proceed(request, .success)
    #expect(error(file.proceed(try asked(file.sync()).request, .abandoned)) == EINTR)
    #expect(isSuccess(file.proceed(try asked(file.sync()).request, .success)))
  }

  @Test func aDurableWriteLeavesNothingToFlush() throws {
    let (request, _) = try asked(write(0, 512, flags: O_WRONLY | O_DSYNC))
    _ = file.proceed(request, .success)
    #expect(isSuccess(file.sync()))
  }

  @Test(arguments: [(.failed(.ioError), true), (.connectionLost, true), (.failed(.invalidArgument), false)] as [(Outcome, Bool)])
  func aDurableWriteThatFailsIsAFailedFlushUnlessItWasRefused(outcome: Outcome, losesData: Bool) throws {
    let (first, _) = try asked(write(0, 512))
    _ = file.proceed(first, .success)
    let (second, _) = try asked(write(4096, 512, flags: O_WRONLY | O_DSYNC))
    _ = file.proceed(second, outcome)
    let sync = file.proceed(try asked(file.sync()).request, .success)
    #expect(error(sync) == (losesData ? EIO : nil))
  }

  @Test func aServerWithoutFlushHasNothingToBeAsked() throws {
    let file = ExportFile(.test(size: kib, flags: [.hasFlags]))
    let (request, _) = try asked(write(0, 512, to: file))
    _ = file.proceed(request, .success)
    #expect(isSuccess(file.sync()))
    #expect(!file.tracker.needsFlush)
  }

  @Test func zerosAreFlushedToo() throws {
    let (request, _) = try asked(file.allocate(FALLOC_FL_ZERO_RANGE, 0, 512))
    #expect(isSuccess(file.proceed(request, .success)))
    #expect(file.tracker.needsFlush)
  }

  // MARK: fallocate

  @Test func punchingAllowsHolesAndZeroingDoesNot() throws {
    let punch = try asked(file.allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kib)).operation
    #expect(punch.command == .writeZeroes && punch.flags == [])
    let zero = try asked(file.allocate(FALLOC_FL_ZERO_RANGE, 0, kib)).operation
    #expect(zero.command == .writeZeroes && zero.flags == .noHole)
    #expect(error(file.allocate(0, 0, kib)) == EOPNOTSUPP)
  }

  @Test func allocatingBeyondTheEndIsCutWhereTheSizeIsKept() throws {
    #expect(error(file.allocate(FALLOC_FL_ZERO_RANGE, 99 * kib, 2 * kib)) == ENOSPC)
    #expect(error(file.allocate(FALLOC_FL_ZERO_RANGE, .max, 2)) == ENOSPC)
    let kept = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
    #expect(try asked(file.allocate(kept, 99 * kib, 2 * kib)).operation.length == kib)
    #expect(isSuccess(file.allocate(kept, 100 * kib, 1)))
  }

  // MARK: lseek

  @Test func seekGoesFromAnswerToAnswer() throws {
    let (request, operation) = try asked(file.seek(0, forData: true))
    #expect(operation.command == .blockStatus && operation.offset == 0 && operation.length == 100 * kib)
    let (again, next) = try asked(file.proceed(request, .success, [extents([(60 * kib, true)])]))
    #expect(next.offset == 60 * kib)
    #expect(offset(file.proceed(again, .success, [extents(from: 60 * kib, [(kib, true), (39 * kib, false)])])) == 61 * kib)
    #expect(offset(file.seek(0, forData: true)) == 61 * kib, "known by now")
  }

  @Test func theEndIsAHole() throws {
    let (request, _) = try asked(file.seek(0, forData: false))
    #expect(offset(file.proceed(request, .success, [extents([(100 * kib, false)])])) == 100 * kib)
    let (data, _) = try asked(ExportFile(.test(size: kib)).seek(0, forData: true))
    #expect(error(ExportFile(.test(size: kib)).proceed(data, .success, [extents([(kib, true)])])) == ENXIO)
    #expect(error(file.seek(100 * kib, forData: true)) == ENXIO)
  }

  @Test func whereTheServerCannotSayAllIsData() throws {
    let (request, _) = try asked(file.seek(5, forData: true))
    #expect(offset(file.proceed(request, .failed(.notSupported))) == 5)
    let (hole, _) = try asked(file.seek(5, forData: false))
    #expect(offset(file.proceed(hole, .success, [[]])) == 100 * kib)
    #expect(offset(ExportFile(.test(size: kib, contexts: [])).seek(5, forData: true)) == 5)
    #expect(error(file.proceed(request, .connectionLost)) == EIO)
    #expect(error(file.proceed(request, .abandoned)) == EINTR)
  }

  /// The kernel may hold what the server has not seen: that of a shared mapping in every mode.
  @Test(arguments: [CacheMode.writeback, .writethrough, .none]) func besideAWriterAllIsData(mode: CacheMode) throws {
    let file = ExportFile(.test(size: 100 * kib), cache: mode)
    #expect(file.open(flags: O_RDWR) == 0)
    #expect(offset(file.seek(5, forData: true)) == 5)
    #expect(offset(file.seek(5, forData: false)) == 100 * kib)
    file.close(flags: O_RDWR)
    _ = try asked(file.seek(5, forData: true))
  }

  @Test(arguments: [true, false]) func aWriteForgetsWhereTheHolesAre(succeeds: Bool) throws {
    let (request, _) = try asked(file.seek(0, forData: true))
    _ = file.proceed(request, .success, [extents([(100 * kib, true)])])
    let (writing, _) = try asked(write(0, 512))
    // A part of it may have been written.
    _ = file.proceed(writing, succeeds ? .success : .failed(.ioError))
    _ = try asked(file.seek(0, forData: true))
  }

  /// Others may have written since.
  @Test func anOpenForgetsWhereTheHolesAre() throws {
    let (request, _) = try asked(file.seek(0, forData: true))
    _ = file.proceed(request, .success, [extents([(100 * kib, true)])])
    #expect(file.open(flags: O_RDONLY) == 0)
    _ = try asked(file.seek(0, forData: true))
  }

  @Test func aWriteSetsTheModificationTime() throws {
    file.layout.change(FileLayout.Change(modified: .at(timespec(tv_sec: 1, tv_nsec: 0))))
    let (writing, _) = try asked(write(0, 512))
    _ = file.proceed(writing, .success)
    #expect(try #require(file.layout.attributes(of: file.layout.file, allocated: 0)).st_mtim.tv_sec > 1)
  }

  @Test func whatIsWrittenTakesSpace() throws {
    file.allocation.add(extents([(100 * kib, true)]), within: 0..<100 * kib)
    let (writing, _) = try asked(write(0, 8192))
    _ = file.proceed(writing, .success)
    #expect(file.allocation.allocated == 8192)
  }
}
