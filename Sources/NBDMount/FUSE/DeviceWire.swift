import CFuse3
import Glibc
import SystemPackage

/// The few messages of `/dev/fuse` that the reactor engine reads and writes itself (`linux/fuse.h`, the kernel's stable
/// interface): reads, writes and their replies. Everything else goes through libfuse.
///
/// libfuse allocates and locks for each request, and its worker threads hand data over; a request that needs the
/// server needs neither. Integers are in the machine's own byte order.
enum DeviceWire {
  static let inHeader = MemoryLayout<fuse_in_header>.size
  static let outHeader = MemoryLayout<fuse_out_header>.size
  static let readRequest = inHeader + MemoryLayout<fuse_read_in>.size
  static let writeRequest = inHeader + MemoryLayout<fuse_write_in>.size

  /// The header of the request at `start`.
  @inline(__always)
  static func header(_ start: UnsafeMutableRawPointer) -> fuse_in_header { start.load(as: fuse_in_header.self) }

  /// The fixed part of the request at `start`, after its header.
  @inline(__always)
  static func body<T: BitwiseCopyable>(_ start: UnsafeMutableRawPointer, as type: T.Type) -> T {
    start.loadUnaligned(fromByteOffset: inHeader, as: T.self)
  }

  /// Answers a read or a write. Data has ``outHeader`` bytes in front of it that are free, as below.
  @inline(__always)
  static func reply(_ device: Int32, _ unique: UInt64, _ answer: FileRequest.Answer) {
    switch answer {
    case .data(let data):
      guard let start = data.baseAddress else { return reply(device, unique, error: 0) }
      reply(device, unique, data: start, count: data.count)
    case .written(let count): replyWritten(device, unique, count: count)
    case .error(let number): reply(device, unique, error: number)
    // No answers to these.
    case .success, .offset: reply(device, unique, error: EIO)
    }
  }

  /// Answers a request with `count` bytes at `data`, or with an error and nothing: one `write(2)`.
  ///
  /// The header is put in front of the data, in ``outHeader`` bytes that must be free there: for the kernel, each piece of
  /// memory is one more to find.
  @inline(__always)
  private static func reply(_ device: Int32, _ unique: UInt64, data: UnsafeMutableRawPointer, count: Int, error: Int32 = 0) {
    let start = data - outHeader
    start.storeBytes(
      of: fuse_out_header(len: UInt32(outHeader + count), error: -error, unique: unique), as: fuse_out_header.self)
    if write(device, start, outHeader + count) < 0 { replyAgain(device, unique, start, outHeader + count, errno) }
  }

  /// The kernel has not taken an answer, for `reason`. Whoever asked would wait for it until the mount ends, and could not
  /// even be killed: so it is tried again, and at last an error is answered instead, which needs next to nothing.
  @inline(never)
  private static func replyAgain(
    _ device: Int32, _ unique: UInt64, _ start: UnsafeMutableRawPointer, _ count: Int, _ reason: Int32
  ) {
    var reason = reason
    for _ in 0..<mostAttempts where isTransient(reason) {
      if write(device, start, count) >= 0 { return }
      reason = errno
      usleep(pause)
    }
    if !isOver(reason) { replyLost(device, unique, reason) }
  }

  /// An answer is lost, for `reason`, that libfuse or ``replyAgain(_:_:_:_:_:)`` has tried to give: answers EIO.
  @inline(never)
  static func replyLost(_ device: Int32, _ unique: UInt64, _ reason: Int32) {
    guard !isOver(reason) else { return }
    Diagnostics.warning("the kernel did not take an answer (\(Errno(rawValue: reason))): it is EIO instead")
    var header = fuse_out_header(len: UInt32(outHeader), error: -EIO, unique: unique)
    for _ in 0..<mostAttempts {
      if write(device, &header, outHeader) >= 0 || isOver(errno) { return }
      usleep(pause)
    }
    Diagnostics.error("the kernel takes no answers: a request stays unanswered until the mount ends")
  }

  /// How often, and microseconds between two attempts.
  private static let mostAttempts = 100
  private static let pause: UInt32 = 1000

  /// The kernel wants no answer: the request was given up (ENOENT), or the mount is gone.
  private static func isOver(_ error: Int32) -> Bool { error == ENOENT || isEnd(error) }

  /// What /dev/fuse says when the mount is gone, unmounted or aborted.
  static func isEnd(_ error: Int32) -> Bool { error == ENODEV || error == ECONNABORTED }

  /// The next attempt may succeed; anything else is about the answer itself.
  private static func isTransient(_ error: Int32) -> Bool {
    error == EINTR || error == EAGAIN || error == ENOMEM || error == EFAULT
  }

  /// Answers a request with an error; 0 is success.
  @inline(__always)
  private static func reply(_ device: Int32, _ unique: UInt64, error: Int32) {
    var header = fuse_out_header()
    withUnsafeMutableBytes(of: &header) { header in
      guard let start = header.baseAddress else { return }
      reply(device, unique, data: start + outHeader, count: 0, error: error)
    }
  }

  /// Answers a write.
  @inline(__always)
  private static func replyWritten(_ device: Int32, _ unique: UInt64, count: Int) {
    var answer = (header: fuse_out_header(), body: fuse_write_out(size: UInt32(count), padding: 0))
    withUnsafeMutableBytes(of: &answer) { answer in
      guard let start = answer.baseAddress else { return }
      reply(device, unique, data: start + outHeader, count: MemoryLayout<fuse_write_out>.size)
    }
  }
}
