import NBDProtocol

/// One request of the kernel that needs the server, from its arrival to its reply.
///
/// It knows what to ask next and how to answer; it does not know who waits. An engine carries out the operation that it
/// is given and hands back the outcome, until there is a reply:
///
///     ExportFile.read/write/... ──> .ask(Operation) ──> engine ──> ExportFile.proceed ──> .reply
struct FileRequest {
  enum Kind {
    case read
    /// `isDurable`: it was sent with FUA, so that nothing is left to flush. `isCached`: the kernel's cache wrote it, when whoever had
    /// called write(2) had his answer. `isOverrun`: the kernel's cache wanted to write
    /// more than there is room for. `submitted`: when.
    case write(isDurable: Bool, isCached: Bool, isOverrun: Bool, submitted: WriteTracker.Epoch)
    /// fsync, or the flush that close(2) causes.
    case sync(WriteTracker.Flush)
    /// fallocate that makes zeros.
    case zero(submitted: WriteTracker.Epoch)
    /// lseek for data or for a hole. ``FileRequest/offset``: up to there is only the other kind. `generation`: of the
    /// extent cache when the server was asked.
    case seek(forData: Bool, generation: UInt64)
  }

  /// What an engine has to do.
  enum Step {
    case ask(FileRequest, Operation)
    case reply(Answer)
  }

  /// What is said to the kernel.
  enum Answer {
    case error(Int32)
    case success
    /// The bytes that the engine received, where it has them.
    case data(UnsafeMutableRawBufferPointer)
    case written(Int)
    case offset(UInt64)
  }

  var kind: Kind
  var offset: UInt64
  var length: UInt64

  /// The bytes that it is about; inside the file.
  var range: Range<UInt64> { offset..<offset + length }
}
