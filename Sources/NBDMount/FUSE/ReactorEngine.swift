import NBDProtocol

/// `--engine reactor`: what the sources of one mount share.
final class ReactorEngine: Sendable {
  /// Bytes that the data in flight may take over all reactors, of each kind of ``RequestBuffers``.
  static let budget = 16 << 20
  /// Largest request in bytes, both ways, of few reactors; the most that the kernel's FUSE has by default.
  private static let largestRequest: UInt32 = 1 << 20
  /// Requests that the kernel may have waiting in the background, for read-ahead and writeback.
  static let backgroundRequests: UInt32 = 256

  /// Bytes of the largest request, both ways, that lets each of `reactors` have two within the budget: more connections make
  /// smaller requests, and not more memory. 32 KiB at least.
  static func largestRequest(reactors: Int) -> UInt32 {
    var largest = largestRequest
    while largest > 32 << 10, Int(largest) * 2 * reactors > budget { largest /= 2 }
    return largest
  }

  /// libfuse is to see, and print, every request (`-d`).
  let isDebugging: Bool
  private let reactors: Int
  private let end: EndOfService

  /// - Parameters:
  ///   - reactors: how many there will be.
  ///   - end: told when the mount is gone.
  init(reactors: Int, isDebugging: Bool, _ end: EndOfService) {
    self.isDebugging = isDebugging
    self.end = end
    self.reactors = reactors
  }

  /// The source of one reactor, to be bound to that reactor's thread.
  ///
  /// - Parameters:
  ///   - clone: the session of a clone of the device, for this source alone.
  ///   - log: what keeps large writes.
  func makeSource(_ clone: FuseSession, _ handler: RequestHandler, _ log: WriteLog? = nil) throws(NBDError) -> FuseSource {
    try FuseSource(self, clone, handler, budget: Self.budget / reactors, log)
  }

  /// There are no more requests. `error`: 0 where the mount is gone, or the errno for which they cannot be read.
  func ended(_ error: Int32) { end.signal(error) }
}
