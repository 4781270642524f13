import CFuse3
import Glibc

/// The few messages of `/dev/fuse` that the reactor engine reads and writes itself (`linux/fuse.h`, the kernel's stable
/// interface): reads, writes and their replies. Everything else goes through libfuse.
///
/// libfuse allocates and locks for each request, and its worker threads hand data over; a request that needs the
/// server needs neither. Integers are in the machine's own byte order.
enum DeviceWire {
  /// Largest header that precedes a write's data, and then some: the kernel wants at least this much more than `max_write`.
  static let headerRoom = 4096

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

  /// Answers a request: one `writev(2)`. False where the kernel did not want the answer, because the request was
  /// given up; there is nothing to be done about that.
  @inline(__always)
  @discardableResult
  static func reply(
    _ device: Int32, _ unique: UInt64, error: Int32 = 0, data: UnsafeRawPointer? = nil, count: Int = 0
  ) -> Bool {
    var header = fuse_out_header(len: UInt32(outHeader + count), error: -error, unique: unique)
    return withUnsafeMutableBytes(of: &header) { header in
      withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { vectors in
        vectors[0] = iovec(iov_base: header.baseAddress, iov_len: header.count)
        vectors[1] = iovec(iov_base: UnsafeMutableRawPointer(mutating: data), iov_len: count)
        return writev(device, vectors.baseAddress, count > 0 ? 2 : 1) >= 0
      }
    }
  }

  /// Answers a write.
  @inline(__always)
  static func replyWritten(_ device: Int32, _ unique: UInt64, count: Int) {
    var body = fuse_write_out(size: UInt32(count), padding: 0)
    withUnsafeBytes(of: &body) { body in
      _ = reply(device, unique, data: body.baseAddress, count: body.count)
    }
  }
}
