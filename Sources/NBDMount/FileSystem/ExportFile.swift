import CLinux
import Glibc
import NBDProtocol
import Synchronization

/// The export as a file: what each request on it means in NBD's terms. Free of engines and of waiting.
final class ExportFile: Sendable {
  let export: Export
  let layout: FileLayout
  let cache: CacheMode
  let tracker: WriteTracker
  let allocation: AllocationMap
  let extents = ExtentCache()
  let overrun = Overrun()
  /// Open file descriptions that may write.
  private let writers = Atomic<Int>(0)

  /// The token of an operation that is not submitted yet: the engine puts its own.
  private static var token: Token { Token(.source, 0) }

  init(export: Export, layout: FileLayout, cache: CacheMode) {
    self.export = export
    self.layout = layout
    self.cache = cache
    tracker = WriteTracker()
    allocation = AllocationMap(export, size: layout.size)
  }

  // MARK: Open files

  /// - Returns: 0, or why the file cannot be opened with `flags`.
  func open(flags: Int32) -> Int32 {
    let isWriter = flags & O_ACCMODE != O_RDONLY
    if isWriter, layout.isReadOnly { return EROFS }
    if isWriter { writers.add(1, ordering: .relaxed) }
    extents.invalidate()
    return 0
  }

  func close(flags: Int32) {
    if flags & O_ACCMODE != O_RDONLY { writers.subtract(1, ordering: .relaxed) }
  }

  /// Somebody may write to it.
  var hasWriters: Bool { writers.load(ordering: .relaxed) > 0 }

  // MARK: Requests

  /// read(2): all of it inside the file, or an error; never less.
  func read(_ offset: UInt64, _ count: Int) -> FileRequest.Step {
    guard offset < layout.size, count > 0 else { return .reply(.data(.init(start: nil, count: 0))) }
    let length = min(UInt64(count), layout.size - offset)
    return ask(
      FileRequest(kind: .read, offset: offset, length: length),
      Operation(.read, offset: offset, length: length, token: Self.token))
  }

  /// write(2). What lies beyond the end has no room: as on a device, the part inside is written. A writer is told how much
  /// that was; the kernel's cache takes no notice of how much, so that it gets an error, for whoever calls fsync or close.
  ///
  /// - Parameters:
  ///   - isDirect: it comes from the writer itself and not from the kernel's cache.
  ///   - flags: of the open file; `O_DSYNC` counts where the write is direct, because otherwise the kernel calls fsync.
  func write(
    _ offset: UInt64, _ data: UnsafeMutableRawPointer, _ count: Int, isDirect: Bool, flags: Int32
  ) -> FileRequest.Step {
    guard !layout.isReadOnly else { return .reply(.error(EROFS)) }
    guard count > 0 else { return .reply(.written(0)) }
    guard offset < layout.size else {
      if !isDirect { overrun.happened() }
      return .reply(.error(ENOSPC))
    }
    let length = min(UInt64(count), layout.size - offset)
    let isDurable = isDirect && flags & O_DSYNC != 0
    return ask(
      FileRequest(
        kind: .write(
          isDurable: isDurable, isCached: !isDirect, isOverrun: !isDirect && length < UInt64(count),
          submitted: tracker.epoch),
        offset: offset, length: length),
      // For a server without FUA and flush a reply is all there is, as in sync().
      Operation(
        .write, flags: isDurable && export.canBeDurable ? .fua : [], offset: offset, length: length, buffer: data, token: Self.token))
  }

  /// fsync(2), and close(2): skipped where nothing was written since the last one.
  func sync() -> FileRequest.Step {
    guard tracker.needsFlush else { return .reply(.success) }
    let flush = tracker.beginFlush()
    // A server that has no way to be told: for it a reply to a write is all there is.
    return export.flags.contains(.sendFlush) ? ask(flush) : proceed(flush, .success)
  }

  private func ask(_ flush: WriteTracker.Flush) -> FileRequest.Step {
    ask(FileRequest(kind: .sync(flush), offset: 0, length: 0), Operation(.flush, token: Self.token))
  }

  /// fallocate(2). Punching and zeroing make zeros; space cannot be reserved over NBD.
  func allocate(_ mode: Int32, _ offset: UInt64, _ length: UInt64) -> FileRequest.Step {
    guard !layout.isReadOnly else { return .reply(.error(EROFS)) }
    let keepsSize = mode & FALLOC_FL_KEEP_SIZE != 0
    let flags: CommandFlags
    switch mode & ~FALLOC_FL_KEEP_SIZE {
    case FALLOC_FL_PUNCH_HOLE: flags = []
    case FALLOC_FL_ZERO_RANGE: flags = .noHole
    default: return .reply(.error(EOPNOTSUPP))
    }
    let (end, overflow) = offset.addingReportingOverflow(length)
    if overflow || end > layout.size, !keepsSize { return .reply(.error(ENOSPC)) }
    guard offset < layout.size else { return .reply(.success) }
    let clipped = min(length, layout.size - offset)
    return ask(
      FileRequest(kind: .zero(submitted: tracker.epoch), offset: offset, length: clipped),
      Operation(.writeZeroes, flags: flags, offset: offset, length: clipped, token: Self.token))
  }

  /// lseek(2) with `SEEK_DATA` or `SEEK_HOLE`.
  func seek(_ offset: UInt64, forData: Bool) -> FileRequest.Step {
    guard offset < layout.size else { return .reply(.error(ENXIO)) }
    // The kernel may hold written pages that the server has not seen, in every mode those of a shared mapping: then a hole may be
    // data.
    guard !hasWriters, allocation.context != nil else {
      return .reply(.offset(forData ? offset : layout.size))
    }
    return seek(forData: forData, from: offset)
  }

  /// Goes on from `position`, up to which there is nothing of the wanted kind.
  private func seek(forData: Bool, from position: UInt64) -> FileRequest.Step {
    guard position < layout.size else { return .reply(forData ? .error(ENXIO) : .offset(layout.size)) }
    switch extents.find(hole: !forData, from: position) {
    case .at(let found): return .reply(.offset(found))
    case .unknown(let end) where end > position: return seek(forData: forData, from: end)
    case .unknown:
      return ask(
        FileRequest(kind: .seek(forData: forData, generation: extents.now), offset: position, length: 0),
        Operation(.blockStatus, offset: position, length: layout.size - position, token: Self.token))
    }
  }

  /// Nothing that the server did not offer, or that lies outside the export, ever leaves this file.
  private func ask(_ request: FileRequest, _ operation: Operation) -> FileRequest.Step {
    do { try export.check(operation) } catch { return .reply(.error(error.errno)) }
    return .ask(request, operation)
  }

  // MARK: Outcomes

  /// What follows from the outcome of the operation that `request` asked for.
  ///
  /// - Parameters:
  ///   - extents: of a block status, by context.
  ///   - data: where the engine has what a read gave, all of it.
  func proceed(
    _ request: FileRequest, _ outcome: Outcome, _ extents: [[Extent]] = [], data: UnsafeMutableRawPointer? = nil
  ) -> FileRequest.Step {
    switch request.kind {
    case .read:
      guard outcome.isSuccess else { return .reply(.error(outcome.errno)) }
      // Nothing for something would read as zeros.
      guard let data else { return .reply(.error(EIO)) }
      return .reply(.data(.init(start: data, count: Int(request.length))))
    case .write(let isDurable, let isCached, let isOverrun, let epoch):
      return wrote(
        request, isDurable: isDurable, isCached: isCached, isOverrun: isOverrun, submitted: epoch, outcome)
    case .sync(let flush):
      return proceed(flush, outcome)
    case .zero(let epoch):
      if outcome.isSuccess { tracker.wrote(request.range, submitted: epoch) }
      if outcome.mayHaveChangedData { changed(0) }
      return .reply(outcome.isSuccess ? .success : .error(outcome.errno))
    case .seek(let forData, let generation):
      return proceed(from: request.offset, forData, generation, outcome, extents)
    }
  }

  private func wrote(
    _ request: FileRequest, isDurable: Bool, isCached: Bool, isOverrun: Bool, submitted epoch: WriteTracker.Epoch,
    _ outcome: Outcome
  ) -> FileRequest.Step {
    if !outcome.isSuccess {
      if isDurable, outcome.mayHaveChangedData {
        tracker.failedDurably(request.range)
      } else if isCached {
        tracker.failedLate(request.range)
      }
    } else if isDurable {
      tracker.wroteDurably(request.range, submitted: epoch)
    } else {
      tracker.wrote(request.range, submitted: epoch)
    }
    if outcome.mayHaveChangedData { changed(request.length) }
    guard outcome.isSuccess else { return .reply(.error(outcome.errno)) }
    guard isOverrun else { return .reply(.written(Int(request.length))) }
    overrun.happened()
    return .reply(.error(ENOSPC))
  }

  private func proceed(_ flush: WriteTracker.Flush, _ outcome: Outcome) -> FileRequest.Step {
    let end: WriteTracker.FlushEnd =
      switch outcome {
      case .success: .succeeded
      case .failed, .connectionLost: .failed
      case .abandoned: .neverSent
      }
    return switch tracker.endFlush(flush, end) {
    case .durable: .reply(.success)
    case .lost: .reply(.error(outcome.isSuccess ? EIO : outcome.errno))
    case .undecided(let again): ask(again)
    }
  }

  /// The server has done what changes the file, or may have: what failed may be done in part, or later. `allocated`: bytes that
  /// may be no hole any more.
  private func changed(_ allocated: UInt64) {
    if allocated > 0 { allocation.wrote(allocated) }
    extents.invalidate()
    layout.touch()
  }

  private func proceed(
    from position: UInt64, _ forData: Bool, _ generation: UInt64, _ outcome: Outcome, _ reply: [[Extent]]
  ) -> FileRequest.Step {
    guard outcome.isSuccess, let context = allocation.context, context < reply.count, let end = reply[context].last?.end,
      end > position
    else {
      switch outcome {
      case .connectionLost, .abandoned: return .reply(.error(outcome.errno))
      // A server that cannot say: everything from here on counts as data.
      case .success, .failed: return .reply(.offset(forData ? position : layout.size))
      }
    }
    extents.add(reply[context], asked: generation)
    for extent in reply[context] where extent.end > position && AllocationMap.isHole(extent) != forData {
      return .reply(.offset(max(position, extent.offset)))
    }
    return seek(forData: forData, from: end)
  }
}

extension Outcome {
  /// A mutating operation that ended so may have been carried out, at least in part. Not where the server refused it for what
  /// it is, and not where it was never sent.
  fileprivate var mayHaveChangedData: Bool {
    switch self {
    case .failed(.notPermitted), .failed(.invalidArgument), .failed(.overflow), .failed(.notSupported), .abandoned: false
    case .success, .failed, .connectionLost: true
    }
  }
}
