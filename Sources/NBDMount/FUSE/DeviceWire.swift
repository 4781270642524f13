import CFuse3
import Glibc

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

  /// Answers a request with `count` bytes at `data`, or with an error and nothing: one `write(2)`.
  ///
  /// The header is put in front of the data, in ``outHeader`` bytes that must be free there: for the kernel, each piece of
  /// memory is one more to find. What the kernel says is ignored: it does not want the answer of a request that was
  /// given up, and there is nothing to be done about that.
  @inline(__always)
  static func reply(_ device: Int32, _ unique: UInt64, data: UnsafeMutableRawPointer, count: Int, error: Int32 = 0) {
    let start = data - outHeader
    start.storeBytes(
      of: fuse_out_header(len: UInt32(outHeader + count), error: -error, unique: unique), as: fuse_out_header.self)
    _ = write(device, start, outHeader + count)
  }

  /// Answers a request with an error; 0 is success.
  @inline(__always)
  static func reply(_ device: Int32, _ unique: UInt64, error: Int32) {
    var header = fuse_out_header()
    withUnsafeMutableBytes(of: &header) { header in
      guard let start = header.baseAddress else { return }
      reply(device, unique, data: start + outHeader, count: 0, error: error)
    }
  }

  /// Answers a write.
  @inline(__always)
  static func replyWritten(_ device: Int32, _ unique: UInt64, count: Int) {
    var answer = (header: fuse_out_header(), body: fuse_write_out(size: UInt32(count), padding: 0))
    withUnsafeMutableBytes(of: &answer) { answer in
      guard let start = answer.baseAddress else { return }
      reply(device, unique, data: start + outHeader, count: MemoryLayout<fuse_write_out>.size)
    }
  }
}
