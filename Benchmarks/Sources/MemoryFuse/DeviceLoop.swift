import CFuse3
import Glibc

/// The one thread: reads a request, answers it.
struct DeviceLoop {
  private static let inHeader = MemoryLayout<fuse_in_header>.size
  private static let outHeader = MemoryLayout<fuse_out_header>.size

  private let session: OpaquePointer
  private let device: Int32
  private let size: Int
  private let memory: UnsafeMutableRawPointer
  private let request: UnsafeMutableRawPointer
  private let requestSize = Int(MemoryFile.maxWrite) + 4096

  init(_ session: OpaquePointer, size: Int) {
    self.session = session
    self.size = size
    device = fuse_session_fd(session)
    memory = .allocate(byteCount: size, alignment: 4096)
    // Written once, so that no page is missing while it is measured.
    memory.initializeMemory(as: UInt8.self, repeating: 7, count: size)
    request = .allocate(byteCount: requestSize, alignment: 4096)
  }

  /// Until the mount is gone.
  func run() {
    while fuse_session_exited(session) == 0 {
      let count = read(device, request, requestSize)
      if count < 0 {
        // A request that was given up, or a signal.
        if errno == ENOENT || errno == EINTR || errno == EAGAIN { continue }
        return
      }
      guard count >= Self.inHeader else { continue }
      let header = request.load(as: fuse_in_header.self)
      switch header.opcode {
      case UInt32(FUSE_READ.rawValue): answerRead(header)
      case UInt32(FUSE_WRITE.rawValue): answerWrite(header)
      default:
        var buffer = fuse_buf()
        buffer.mem = request
        buffer.size = count
        fuse_session_process_buf(session, &buffer)
      }
    }
  }

  private func answerRead(_ header: fuse_in_header) {
    let body = request.loadUnaligned(fromByteOffset: Self.inHeader, as: fuse_read_in.self)
    let offset = Int(body.offset)
    answer(header, memory + min(offset, size), max(0, min(Int(body.size), size - offset)))
  }

  private func answerWrite(_ header: fuse_in_header) {
    let body = request.loadUnaligned(fromByteOffset: Self.inHeader, as: fuse_write_in.self)
    let offset = Int(body.offset)
    let count = max(0, min(Int(body.size), size - offset))
    if count > 0 {
      (memory + offset).copyMemory(from: request + Self.inHeader + MemoryLayout<fuse_write_in>.size, byteCount: count)
    }
    var written = fuse_write_out(size: UInt32(count), padding: 0)
    withUnsafeMutableBytes(of: &written) { bytes in
      if let base = bytes.baseAddress { answer(header, base, bytes.count) }
    }
  }

  private func answer(_ header: fuse_in_header, _ data: UnsafeMutableRawPointer, _ count: Int) {
    var answer = fuse_out_header(len: UInt32(Self.outHeader + count), error: 0, unique: header.unique)
    withUnsafeMutableBytes(of: &answer) { bytes in
      withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { vectors in
        vectors[0] = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        vectors[1] = iovec(iov_base: data, iov_len: count)
        // A failure means that the request was given up.
        _ = writev(device, vectors.baseAddress, 2)
      }
    }
  }
}
