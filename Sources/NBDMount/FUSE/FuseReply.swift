import CFuse3
import Glibc
import NBDProtocol

/// The answer to one FUSE request: to be given exactly once, which is why it can be consumed and not copied.
///
/// libfuse lets any thread answer. A reply that is dropped unanswered would leave a process hanging; it answers EIO instead,
/// and says so.
struct FuseReply: ~Copyable {
  let request: fuse_req_t

  init(_ request: fuse_req_t) { self.request = request }

  deinit {
    Diagnostics.warning("a FUSE request was dropped unanswered")
    Self.given(fuse_reply_err(request, EIO))
  }

  /// `result`: of a reply function. libfuse has let go of the request whether the kernel took the answer or not.
  private static func given(_ result: Int32) {
    // ENOENT: whoever asked has gone.
    guard result != 0, result != -ENOENT else { return }
    // Only who has read the request itself knows its number, by which it can still be answered.
    if let source = FuseSource.current { return source.answerWasLost(-result) }
    Diagnostics.error("the kernel did not take an answer: a request stays unanswered until the mount ends")
  }

  /// `fuse_reply_err(3)`: 0 is success.
  consuming func error(_ number: Int32) {
    Self.given(fuse_reply_err(request, number))
    discard self
  }

  /// `fuse_reply_buf(3)`: the data of a read or of a directory.
  consuming func data(_ start: UnsafeRawPointer?, _ count: Int) {
    Self.given(fuse_reply_buf(request, start?.assumingMemoryBound(to: CChar.self), count))
    discard self
  }

  /// `fuse_reply_write(3)`: bytes written.
  consuming func written(_ count: Int) {
    Self.given(fuse_reply_write(request, count))
    discard self
  }

  /// `fuse_reply_lseek(3)`
  consuming func offset(_ offset: UInt64) {
    Self.given(fuse_reply_lseek(request, off_t(clamping: offset)))
    discard self
  }

  /// `fuse_reply_attr(3)`. `seconds`: how long the kernel may keep them.
  consuming func attributes(_ attributes: stat, seconds: Double) {
    var attributes = attributes
    Self.given(fuse_reply_attr(request, &attributes, seconds))
    discard self
  }

  /// `fuse_reply_entry(3)`
  consuming func entry(_ entry: fuse_entry_param) {
    var entry = entry
    Self.given(fuse_reply_entry(request, &entry))
    discard self
  }

  /// `fuse_reply_open(3)`. Returns false where the opener has not got the file, so that there will be no release.
  consuming func opened(_ information: UnsafePointer<fuse_file_info>) -> Bool {
    let result = fuse_reply_open(request, information)
    Self.given(result)
    discard self
    return result == 0
  }

  /// `fuse_reply_statfs(3)`
  consuming func statistics(_ statistics: statvfs) {
    var statistics = statistics
    Self.given(fuse_reply_statfs(request, &statistics))
    discard self
  }
}

extension FuseReply {
  consuming func answer(_ answer: FileRequest.Answer) {
    switch answer {
    case .error(let number): error(number)
    case .success: error(0)
    case .data(let data): self.data(data.baseAddress, data.count)
    case .written(let count): written(count)
    case .offset(let offset): self.offset(offset)
    }
  }
}
